"""Where a name becomes a thing: built-ins and third parties come in by the same door.

A target is ``"module:attribute"``, imported only when asked for. Third parties declare
entry points in the groups ``lowtide.intensity``, ``lowtide.meters``, ``lowtide.executors``.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from providers.errors import LowtideError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import MeterKind

Group = Literal["intensity", "meters", "executors"]

BUILTINS: Mapping[Group, Mapping[str, str]] = {
    "intensity": {
        "climatology": "providers.intensity.climatology:build",
        "forecaster": "providers.intensity.forecaster:build",
        "country_mean": "providers.intensity.country_mean:build",
        "trace": "providers.intensity.trace:build",
        "constant": "providers.intensity.constant:build",
        "neso": "providers.intensity.neso:build",
        "energy_charts": "providers.intensity.energy_charts:build",
        "energinet": "providers.intensity.energinet:build",
        "electricity_maps": "providers.intensity.electricity_maps:build",
        "watttime": "providers.intensity.watttime:build",
        "eia": "providers.intensity.eia:build",
    },
    "meters": {
        "nvml": "providers.meters.nvml:KIND",
        "rapl": "providers.meters.rapl:KIND",
        "model": "providers.meters.model:KIND",
        "replay": "providers.meters.replay:KIND",
    },
    "executors": {
        "local": "providers.executors.local:build",
        "slurm": "providers.executors.slurm:build",
    },
}


class RegistryError(LowtideError):
    """A name is registered twice or not at all."""

    exit_code = 3


@cache
def targets(group: Group) -> Mapping[str, str]:
    """Every registered name of a group with its target; a duplicate name is an error."""
    # Imported here: the runner loads meters by name, and must start fast.
    from importlib.metadata import entry_points

    found = dict(BUILTINS[group])
    for point in entry_points(group=f"lowtide.{group}"):
        if point.name in found:
            owner = point.dist.name if point.dist else point.value
            raise RegistryError(
                f"{group} {point.name!r} is registered twice ({found[point.name]} and "
                f"{point.value} of {owner}): uninstall or rename one"
            )
        found[point.name] = point.value
    return found


def load(group: Group, name: str) -> Any:
    """The registered object: a ``build`` function (intensity, executors) or a meter kind."""
    target = BUILTINS[group].get(name) or targets(group).get(name)
    if target is None:
        known = ", ".join(sorted(targets(group)))
        raise RegistryError(f"no {group} provider is called {name!r}: known are {known}")
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def meter(name: str) -> MeterKind:
    """The meter that a config names: ``rapl``, or with what it is to use, ``replay:PATH``."""
    head, colon, argument = name.partition(":")
    kind: MeterKind = load("meters", head)
    if not colon:
        return kind
    if not hasattr(kind, "using"):
        raise RegistryError(f"meter {head} takes nothing after a colon, found {name!r}")
    using: MeterKind = kind.using(argument)
    return using

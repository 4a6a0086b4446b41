"""What ``regions --instances`` is given: types, their speeds, the work."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from scheduler.engine import instances, speeds
from scheduler.engine.speeds import Work
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.hardware.boavizta import Boavizta
    from scheduler.engine import Context
    from scheduler.instances import InstanceComparison
    from scheduler.models import JobSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """Types, the first the reference; the work, what it is counted in, and whom to ask for M."""

    types: tuple[str, ...]
    work: Work
    unit: tuple[str, float]
    boavizta: Boavizta | None


def read(
    context: Context,
    named: str,
    duration_s: float | None,
    *,
    speeds: Sequence[str],
    speed_equal: bool,
    group: str | None,
    unit: str | None,
    boavizta: str | None,
) -> Asked:
    """The options, checked; :class:`UsageError` says what is wrong with the first bad one."""
    stated = dict(_share(text, "--speed", "aws/c5.large=1.3") for text in speeds)
    types = tuple(dict.fromkeys(part.strip() for part in named.split(",") if part.strip()))
    types = types or _of_config(context, stated)
    counted = ("job", 1.0) if unit is None else _share(unit, "--unit", "epochs=90")
    server = None
    if boavizta is not None:
        server = _server(context, boavizta)
    return Asked(types, Work(duration_s, stated, group, speed_equal), counted, server)


def compare(
    context: Context, spec: JobSpec, asked: Asked, now: datetime, *, slack_s: float
) -> InstanceComparison:
    """The types of ``asked`` in the regions of ``spec``."""
    return instances.compare(
        context,
        spec,
        asked.types,
        asked.work,
        asked.unit,
        now,
        slack_s=slack_s,
        boavizta=asked.boavizta,
    )


def _of_config(context: Context, stated: dict[str, float]) -> tuple[str, ...]:
    regions = context.config.settings.regions
    own = (speeds.instance_of(context.config, name) for name in regions)
    types = tuple(dict.fromkeys([*(kind for kind in own if kind is not None), *stated]))
    if not types:
        raise UsageError(
            "--instances names no type, and no region of the config stands on one "
            "(regions.<name>.hardware.instance): write e.g. --instances aws/c5.large,aws/c7a.large"
        )
    return types


def _share(text: str, option: str, example: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not name.strip() or not isfinite(value) or value <= 0:
        raise UsageError(f"{option} {text!r} is no name with a number above zero: {example}")
    return name.strip(), value


def _server(context: Context, url: str) -> Boavizta:
    from providers.hardware.boavizta import Boavizta
    from scheduler.hardware_settings import is_address

    if not is_address(url):
        raise UsageError(f"--boavizta {url!r} is no address: write e.g. http://127.0.0.1:5000")
    return Boavizta(url, context.surroundings)

"""Embodied carbon from a Boavizta API that the user runs (AGPL-3.0: asked over HTTP, no more).

Shapes as version 2.5.0 answers them: ``impacts.gwp.embedded`` is ``{value, min, max}`` in kgCO2eq
over the whole life where no duration is asked for; with ``verbose`` the answer also tells that
life (``hours_life_time``) and an instance's ``vcpu``. What it tells of an instance is that
instance's share of its platform, so ToR is the instance's own vCPUs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from providers.base import Triple
from providers.errors import BadData, NoData, ProviderError
from providers.hardware.ccf import EmbodiedServer
from providers.transport import Http, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.surroundings import Surroundings
    from providers.transport import Answer

# Its data changes with its version only; an answer is kept for 14 days.
TTL_S = 13 * 86_400.0
# It answers within a tenth of a second on the user's own machine or not at all, so one try.
TIMEOUT_S = 5.0
ASKS = {"verbose": "true", "criteria": "gwp"}


class Boavizta:
    """One server at ``url``; every answer is kept for days, by all processes of the home.

    Each question raises :class:`ProviderError`: ``Unavailable`` where the server does not
    answer, ``NoData`` where it does not know the machine, ``BadData`` where its answer is none.
    """

    def __init__(self, url: str, here: Surroundings) -> None:
        self._url = url.rstrip("/")
        self._name = f"Boavizta API ({urlsplit(url).netloc})"
        policy = Policy(self._name, TTL_S, calls=60, per_s=1.0, timeout_s=TIMEOUT_S, tries=1)
        self._http = Http(policy, here)

    def instance(self, provider: str, kind: str) -> EmbodiedServer:
        """A cloud instance type, its ToR its own vCPUs."""
        params = {"provider": provider, "instance_type": kind, **ASKS}
        answer = self._http.get(f"{self._url}/v1/cloud/instance", params=params)
        content = self._content(answer)
        if content.get("warnings"):
            # It takes the nearest name it knows: another machine's figure is none of this one.
            said = "; ".join(map(str, content["warnings"]))
            raise NoData(f"{self._name} does not know {provider}/{kind}: {said}")
        what = f"{provider}/{kind}"
        found = self._server(answer, content, what)
        vcpus = self._number(content.get("verbose"), "vcpu", answer)
        if vcpus < 1 or vcpus != round(vcpus):
            raise BadData(f"{self._name} told {vcpus:g} vCPUs of {what}")
        source = f"vCPUs of {what}, {found.lifespan_source}"
        return replace(found, slots=int(vcpus), slots_source=source)

    def server(self, configuration: Mapping[str, Any]) -> EmbodiedServer:
        """A server by its parts, as Boavizta names them; the rest is its default server's."""
        body = {"configuration": dict(configuration)}
        answer = self._http.post(f"{self._url}/v1/server/", body, params=ASKS)
        return self._server(answer, self._content(answer), f"a server of {_parts(configuration)}")

    def _server(self, answer: Answer, content: Mapping[str, Any], what: str) -> EmbodiedServer:
        total = self._embedded(answer, content)
        life_h = self._number(content.get("verbose"), "hours_life_time", answer)
        if life_h <= 0:
            raise BadData(f"{self._name} told a life of {life_h:g} h ({answer.where})")
        name = f"{self._name}{self._version()}"
        return EmbodiedServer(total, life_h, name, None, "", f"{name}, {what}")

    def _content(self, answer: Answer) -> Mapping[str, Any]:
        content = answer.json()
        if not _is_object(content):
            raise BadData(f"{self._name} answered no object at {answer.where}")
        return content

    def _embedded(self, answer: Answer, content: Mapping[str, Any]) -> Triple:
        found: Any = content
        for key in ("impacts", "gwp", "embedded"):
            found = found.get(key) if _is_object(found) else None
        keys = ("min", "value", "max")
        figures = [v for k in keys if _is_number(v := found.get(k))] if _is_object(found) else []
        if len(figures) < len(keys):
            raise BadData(f"{self._name} told no embodied carbon (gwp.embedded) at {answer.where}")
        low, value, high = figures
        if not 0 <= low <= high or value <= 0:
            raise BadData(
                f"{self._name} told bounds that are none: {low:g} to {high:g} kg ({answer.where})"
            )
        # The value is rounded to the digits that are sure, which may lead it past a bound.
        return Triple(min(low, value), value, max(high, value))

    def _number(self, verbose: Any, key: str, answer: Answer) -> float:
        entry = verbose.get(key) if _is_object(verbose) else None
        value = entry.get("value") if _is_object(entry) else None
        if not _is_number(value):
            raise BadData(f"{self._name} told no {key} at {answer.where}")
        return value

    def _version(self) -> str:
        """Its version, where it tells one: the figure counts without it, too."""
        try:
            said = self._http.get(f"{self._url}/v1/utils/version").json()
        except ProviderError:
            return ""
        return f" {said[:20]}" if isinstance(said, str) and said.isprintable() else ""


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _parts(configuration: Mapping[str, Any]) -> str:
    """``2 cpu, 8 ram``: the parts that were stated."""
    said = []
    for name, part in configuration.items():
        each = part if isinstance(part, (list, tuple)) else (part,)
        said.append(f"{sum(int(p.get('units', 1)) for p in each)} {name}")
    return ", ".join(said)

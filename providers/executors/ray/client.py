"""Ray's Jobs API and its list of nodes. Tried on Ray 2.60; every field may be absent or odd."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from providers.errors import ExecutorError, ProviderError
from providers.transport.rest import Rest, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# One look at the nodes serves all jobs that are weighed within this time.
FRESH_S = 5.0
# Of as many nodes the state API tells (its default is 100).
NODES = 10_000


@dataclass(frozen=True, slots=True)
class RayJob:
    """A job as Ray knows it.

    ``error`` is Ray's own name of what went wrong, ``metadata`` what its submitter gave it.
    """

    status: str
    message: str
    error: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Client:
    """One cluster, through its dashboard."""

    def __init__(
        self,
        address: str,
        token: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._rest, self._clock = Rest("Ray", address, headers), clock
        self._nodes: list[dict[str, float]] = []
        self._asked_s = float("-inf")

    def submit(self, body: Mapping[str, Any]) -> bool:
        """Submit; False where Ray has a job of that ``submission_id``."""
        said = self._ask("POST", "/api/jobs/", body)
        if said.status == 200:
            return True
        # It answers 500 to a second submission, with the trace of its own error.
        if self.job(str(body["submission_id"])) is not None:
            return False
        raise _refused("does not take the job", said)

    def job(self, submission_id: str) -> RayJob | None:
        """A job by its submission id; None where Ray knows none."""
        said = self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}")
        if said.status == 404:
            return None
        found = _object(said, "tells nothing of the job")
        status, message, error = (
            _word(found.get(name)) for name in ("status", "message", "error_type")
        )
        metadata = found.get("metadata")
        return RayJob(status, message, error, metadata if isinstance(metadata, dict) else {})

    def stop(self, submission_id: str) -> None:
        """Ray's stop of a job: TERM to its processes, then KILL; one that waits may wait on."""
        said = self._ask("POST", f"/api/jobs/{quote(submission_id, safe='')}/stop")
        if said.status not in {200, 404}:
            raise _refused("does not stop the job", said)

    def log(self, submission_id: str) -> str:
        """What the job's first process (our runner) printed."""
        said = self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}/logs")
        return _word(_object(said, "has no log").get("logs"))

    def nodes(self) -> list[dict[str, float]]:
        """What each living node has in total, by the name of the resource.

        The state API tells names as they are; ``/nodes`` rewrites those with underscores.
        """
        if self._clock() - self._asked_s > FRESH_S:
            said = self._ask("GET", f"/api/v0/nodes?detail=true&limit={NODES}")
            data = _object(said, "tells no nodes").get("data")
            result = data.get("result") if isinstance(data, dict) else None
            rows = result.get("result") if isinstance(result, dict) else None
            if not isinstance(rows, list):
                raise ExecutorError(f"Ray tells no nodes ({said.where}): {said.text[:80]!r}")
            self._nodes = [_resources(row) for row in rows if _alive(row)]
            self._asked_s = self._clock()
        return self._nodes

    def _ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Said:
        try:
            said = self._rest.ask(verb, path, body)
        except ProviderError as e:
            raise ExecutorError(str(e)) from e
        if said.status in {401, 403}:
            raise _refused("refuses the token, or wants one (token_env)", said)
        return said


def _refused(what: str, said: Said) -> ExecutorError:
    # Of a trace the last line says what is wrong.
    lines = [line for line in said.text.splitlines() if len(line.strip()) > 1]
    words = lines[-1].strip()[:200] if lines and "Traceback" in said.text else said.words
    return ExecutorError(f"Ray {what} ({said.status} at {said.where}): {words}")


def _object(said: Said, what: str) -> dict[str, Any]:
    if said.status != 200:
        raise _refused(what, said)
    try:
        found = said.json()
    except ProviderError as e:
        raise ExecutorError(str(e)) from e
    if not isinstance(found, dict):
        raise ExecutorError(f"Ray {what} ({said.where}): {said.text[:80]!r}")
    return found


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _alive(row: Any) -> bool:
    return isinstance(row, dict) and row.get("state") == "ALIVE"


def _resources(row: dict[str, Any]) -> dict[str, float]:
    told = row.get("resources_total")
    return {
        name: float(value)
        for name, value in (told.items() if isinstance(told, dict) else ())
        if isinstance(value, (int, float)) and 0 <= value < math.inf
    }

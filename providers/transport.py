"""One way to ask over HTTP: timeouts, bounded retries, rate limits, a cache, a breaker.

The only file that imports requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Policy:
    """How a source may be asked.

    ``source`` names it in messages and files; an answer younger than ``ttl_s`` is not asked for
    again; at most ``calls`` requests go out in ``per_s`` seconds, over all processes.
    """

    source: str
    ttl_s: float
    calls: int
    per_s: float
    timeout_s: float = 10.0
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that came with status 200, and when the source was asked."""

    source: str
    text: str
    asked_at: datetime

    def json(self) -> Any:
        """The body as JSON; :class:`BadData` where it is none (empty, HTML, torn)."""
        raise NotImplementedError


class Http:
    """Asks one source."""

    def __init__(self, policy: Policy, here: Surroundings) -> None:
        self._policy = policy
        self._here = here

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        ttl_s: float | None = None,
    ) -> Answer:
        """The answer of a GET; ``ttl_s`` 0 asks anew.

        Raises :class:`AccessDenied` (401, 403), :class:`NoData` (400, 404, 422 with the source's
        own words), :class:`Unavailable` (no answer, 429, 5xx, or the breaker is open).
        """
        raise NotImplementedError

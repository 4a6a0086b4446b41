"""One way to ask over HTTP: timeouts, bounded retries, rate limits, a cache, a breaker.

``Http`` decides whether to ask, and what an answer means; ``wire`` asks; ``answers`` keeps what
came back and ``ledger`` what is known of the source, both for all processes of a home.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from providers.errors import (
    AccessDenied,
    BadData,
    NoData,
    NotAsked,
    ProviderError,
    Unavailable,
)
from providers.transport.bodies import Excess, parsed
from providers.transport.ledger import Contact, Ledger, contact
from providers.transport.question import Later, Question, patience_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState

    from providers.surroundings import Surroundings
    from providers.transport.wire import Reply, Wire

__all__ = ["Answer", "Contact", "Http", "Policy", "contact"]

# Between two tries: this long, and by chance up to twice that, four times that, and so on;
# chance keeps processes that failed together from asking together.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0

# What a status says, beyond 200; 5xx is Unavailable, the rest is no answer to a question.
STATUS: Mapping[int, type[ProviderError]] = {
    400: NoData,
    401: AccessDenied,
    402: AccessDenied,
    403: AccessDenied,
    404: NoData,
    407: Unavailable,
    408: Unavailable,
    410: NoData,
    422: NoData,
    425: Unavailable,
    429: Unavailable,
}
SAYS: Mapping[type[ProviderError], str] = {
    AccessDenied: "refuses the key, or wants one",
    BadData: "answered what is no answer",
    NoData: "has nothing",
    Unavailable: "does not answer now",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How a source may be asked.

    ``source`` names it in messages and files; an answer younger than ``ttl_s`` is not asked for
    again; at most ``calls`` requests go out in ``per_s`` seconds, over all processes. A try
    takes at most ``timeout_s``, with its last byte, and no wait before it is longer.
    """

    source: str
    ttl_s: float
    calls: int
    per_s: float
    timeout_s: float = 10.0
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that came with status 200, when the source was asked, and where (host and path)."""

    source: str
    text: str
    asked_at: datetime
    where: str = ""

    def json(self) -> Any:
        """The body as JSON; :class:`BadData` where it is none (empty, HTML, torn) or too much."""
        try:
            return parsed(self.text)
        except Excess as e:
            raise BadData(f"{self.source} answered {e} at {self.where}") from None
        except (ValueError, RecursionError):
            text = self.text.strip()
            found = "an empty body" if not text else "HTML" if text[0] == "<" else "broken JSON"
            raise BadData(f"{self.source} answered {found} at {self.where}, not JSON") from None


class Http:
    """Asks one source."""

    def __init__(
        self,
        policy: Policy,
        here: Surroundings,
        *,
        clock: Callable[[], datetime] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._policy = policy
        self._here = here
        self._clock = clock or here.clock
        self._sleep = sleep
        self._ledger = Ledger(policy.source, here.cache_dir)

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

        An answer is shared by all processes of the home, whatever keys and headers it was asked
        with. What was asked with ``auth`` is neither stored nor taken from the store: a login
        answers with a token.

        Raises :class:`AccessDenied` (401, 403), :class:`NoData` (400, 404, 422 with the source's
        own words), :class:`Unavailable` (no answer, 429, 5xx, or the breaker is open).
        """
        asked = Question(self._policy.source, url, dict(params or {}), dict(headers or {}), auth)
        return self._answer(asked, ttl_s)

    def post(
        self,
        url: str,
        body: Mapping[str, Any],
        *,
        params: Mapping[str, str | int | float] | None = None,
    ) -> Answer:
        """The answer to a question that is put as JSON, kept and raised as that of a GET."""
        asked = Question(self._policy.source, url, dict(params or {}), {}, body=dict(body))
        return self._answer(asked, None)

    def _answer(self, question: Question, ttl_s: float | None) -> Answer:
        # Loads requests, which only a question to a live source needs.
        from providers.transport.wire import Wire

        ttl = timedelta(seconds=self._policy.ttl_s if ttl_s is None else ttl_s)
        with Wire(self._here.cache_dir, question, self._policy.timeout_s, self._clock) as wire:
            young = wire.stored(younger_than=ttl if self._here.asks else timedelta.max)
            if young is None and not self._here.asks:
                raise NotAsked(f"{question.source} is not asked just now")
            text, asked_at = young or self._ask(wire, question)
        return Answer(self._policy.source, text, asked_at, question.where)

    def _ask(self, wire: Wire, question: Question) -> tuple[str, datetime]:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        policy = self._policy
        # A probe is one try, after one wait for its place.
        probing = self._ledger.admit(self._clock(), 2 * policy.timeout_s)
        retrying = Retrying(
            stop=stop_after_attempt(1 if probing else policy.tries),
            retry=retry_if_exception(lambda e: isinstance(e, Later) and e.again),
            wait=_pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        in_vain: list[Later] = []
        try:
            reply, asked_at = retrying(self._try, wire, question, in_vain)
        except Later as e:
            until = self._ledger.failed(self._clock(), str(e), e.after_s)
            raise Unavailable(f"{e}; {until}" if until else str(e)) from None
        except (AccessDenied, BadData, NoData) as e:
            self._ledger.answered(self._clock(), str(e))
            raise
        unreadable = f"{question.source} answered what cannot be read ({question.where})"
        self._ledger.answered(asked_at, None if reply.readable else unreadable)
        return reply.text, asked_at

    def _try(self, wire: Wire, question: Question, in_vain: list[Later]) -> tuple[Reply, datetime]:
        policy = self._policy
        try:
            # A wait for its place, and a try.
            if self._clock() + timedelta(seconds=2 * policy.timeout_s) > self._here.asks_until():
                raise NotAsked(
                    f"{policy.source} is not asked just now: sources have taken all the time that "
                    "a pass has for them"
                )
            wait_s = self._ledger.place_s(
                self._clock(), policy.calls, policy.per_s, policy.timeout_s
            )
        except Unavailable:
            if in_vain:  # no time to try again: what failed is the news, not our own limit
                raise Later(str(in_vain[-1]), in_vain[-1].after_s, again=False) from None
            raise
        if wait_s > 0:
            self._sleep(wait_s)
        asked_at = self._clock()
        try:
            reply = wire.ask()
            if reply.status != 200:
                self._refuse(reply, question)
        except Later as e:
            in_vain.append(e)
            raise
        return reply, asked_at

    def _refuse(self, reply: Reply, question: Question) -> NoReturn:
        """Raise what a status other than 200 means, with the source's own words."""
        error = STATUS.get(reply.status, Unavailable if reply.status >= 500 else BadData)
        said = question.words_of(reply.text)
        message = f"{question.source} {SAYS[error]} ({reply.status} at {question.where})"
        message += f": {said}" if said else ""
        if error is not Unavailable:
            raise error(message)
        after_s = patience_s(reply.retry_after, self._clock())
        raise Later(message, after_s, again=(after_s or 0.0) <= self._policy.timeout_s)


def _pause_s(state: RetryCallState) -> float:
    from tenacity import wait_fixed, wait_random_exponential

    error = state.outcome.exception() if state.outcome else None
    asked_for_s = error.after_s if isinstance(error, Later) else None
    by_chance = wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S)
    return max(asked_for_s or 0.0, (wait_fixed(FIRST_PAUSE_S) + by_chance)(state))

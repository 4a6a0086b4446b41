"""One way to ask over HTTP: timeouts, bounded retries, rate limits, a cache, a breaker.

Sources import it at module level, so what loads requests is imported when a source asks.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from providers.errors import AccessDenied, BadData, LowtideError, NoData, ProviderError, Unavailable
from providers.transport.ledger import Contact, Ledger, contact
from providers.transport.question import Question, patience_s, words

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

# What a status says, beyond 200; 5xx is Unavailable, the rest is no answer to a GET.
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
        """The body as JSON; :class:`BadData` where it is none (empty, HTML, torn)."""
        text = self.text.removeprefix("\ufeff").strip()
        try:
            return json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            found = "an empty body" if not text else "HTML" if text[0] == "<" else "broken JSON"
            raise BadData(f"{self.source} answered {found} at {self.where}, not JSON") from None


class _Later(Unavailable):
    """One try was in vain; ``after_s`` is the patience that the source asked for."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


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

        An answer is shared by all processes of the home, whichever key asked. What was asked
        with ``auth`` is neither stored nor taken from the store: a login answers with a token.

        Raises :class:`AccessDenied` (401, 403), :class:`NoData` (400, 404, 422 with the source's
        own words), :class:`Unavailable` (no answer, 429, 5xx, or the breaker is open).
        """
        from providers.transport.wire import Wire

        question = Question(url, dict(params or {}), dict(headers or {}), auth)
        ttl = timedelta(seconds=self._policy.ttl_s if ttl_s is None else ttl_s)
        with Wire(self._here.cache_dir, question, self._policy.timeout_s, self._clock) as wire:
            young = wire.stored(younger_than=ttl)
            text, asked_at = young or self._ask(wire, question)
        return Answer(self._policy.source, text, asked_at, question.where)

    def _ask(self, wire: Wire, question: Question) -> tuple[str, datetime]:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        policy = self._policy
        longest_s = 2 * policy.tries * policy.timeout_s
        probing = self._ledger.admit(self._clock(), longest_s)
        retrying = Retrying(
            stop=stop_after_attempt(1 if probing else policy.tries),
            retry=retry_if_exception(self._is_soon),
            wait=_pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            text, asked_at = retrying(self._try, wire, question)
        except _Later as e:
            until = self._ledger.failed(self._clock(), str(e), e.after_s)
            raise Unavailable(f"{e}; {until}" if until else str(e)) from None
        except (AccessDenied, BadData, NoData) as e:
            self._ledger.answered(self._clock(), str(e))
            raise
        self._ledger.answered(asked_at)
        return text, asked_at

    def _try(self, wire: Wire, question: Question) -> tuple[str, datetime]:
        policy = self._policy
        wait_s = self._ledger.slot_s(self._clock(), policy.calls, policy.per_s, policy.timeout_s)
        if wait_s > 0:
            self._sleep(wait_s)
        asked_at = self._clock()
        try:
            reply = wire.ask()
        except LowtideError as e:
            message = f"{policy.source} {e}"
            raise (_Later(message) if isinstance(e, Unavailable) else type(e)(message)) from None
        if reply.status != 200:
            self._refuse(reply, question)
        return reply.text, asked_at

    def _refuse(self, reply: Reply, question: Question) -> NoReturn:
        """Raise what a status other than 200 means, with the source's own words."""
        error = STATUS.get(reply.status, Unavailable if reply.status >= 500 else BadData)
        said = question.without_secrets(words(reply.text))
        message = f"{self._policy.source} {SAYS[error]} ({reply.status} at {question.where})"
        message += f": {said}" if said else ""
        if error is not Unavailable:
            raise error(message)
        raise _Later(message, patience_s(reply.retry_after, self._clock()))

    def _is_soon(self, error: BaseException) -> bool:
        """Whether to try once more within this call."""
        return isinstance(error, _Later) and (error.after_s or 0) <= self._policy.timeout_s


def _pause_s(state: RetryCallState) -> float:
    from tenacity import wait_fixed, wait_random_exponential

    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Later) and error.after_s is not None:
        return error.after_s
    by_chance = wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S)
    return (wait_fixed(FIRST_PAUSE_S) + by_chance)(state)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")

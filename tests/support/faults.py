"""Ways in which a source fails: each wraps a play, and names the error that it must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from providers.errors import AccessDenied, BadData, NoData, ProviderError, Unavailable
from support.server import Asked, Play, Reply

HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = "<!DOCTYPE html>\n<html><head><title>Oops</title></head><body>Back soon</body></html>"
# Longer than any test waits for an answer.
NEVER_S = 60.0


@dataclass(frozen=True)
class Fault:
    """Spoils every reply of a play; ``error`` is what the source must make of it.

    A ``slow`` one lasts until the asker's patience ends.
    """

    error: type[ProviderError]
    spoil: Callable[[Reply], Reply]
    slow: bool = False

    def __call__(self, play: Play) -> Play:
        """The play with this fault."""

        def faulty(asked: Asked) -> Reply:
            return self.spoil(play(asked))

        return faulty


def _always(reply: Reply) -> Callable[[Reply], Reply]:
    return lambda _: reply


def _torn(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def _cut_off(reply: Reply) -> Reply:
    return replace(_torn(reply), length=len(reply.body))


FAULTS: Mapping[str, Fault] = {
    "401": Fault(AccessDenied, _always(Reply('{"message": "Token invalid"}', 401))),
    "403 as HTML": Fault(AccessDenied, _always(Reply(PAGE, 403, HTML))),
    "404": Fault(NoData, _always(Reply('{"error": {"message": "No such thing"}}', 404))),
    "429 for an hour": Fault(Unavailable, _always(Reply("", 429, {"Retry-After": "3600"}))),
    "500": Fault(Unavailable, _always(Reply("Internal Server Error", 500))),
    "503 as HTML": Fault(Unavailable, _always(Reply(PAGE, 503, HTML))),
    "no answer": Fault(Unavailable, lambda reply: replace(reply, delay_s=NEVER_S), slow=True),
    "slow body": Fault(Unavailable, lambda reply: replace(reply, stall_s=NEVER_S), slow=True),
    "dripping body": Fault(Unavailable, lambda reply: replace(reply, drip_s=0.2), slow=True),
    "body cut off": Fault(Unavailable, _cut_off),
    "empty body": Fault(BadData, lambda reply: replace(reply, body="")),
    "broken JSON": Fault(BadData, _torn),
    "HTML with 200": Fault(BadData, _always(Reply(PAGE, 200, HTML))),
}

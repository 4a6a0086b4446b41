"""What the processes of a home know of a source: when it answered, whether it may be asked.

One small JSON file for each source, changed under a lock. What cannot be read is absent; where
the folder cannot be written, a process knows what it saw itself.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, BinaryIO
from urllib.parse import quote

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat

from providers.errors import Unavailable
from providers.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Failed questions in a row (each of several tries) that open the breaker: one may be a hiccup of
# the line, and waiting for a third would cost a command another half minute.
OPENS_AFTER = 2
# How long it stays open: short enough for a restart to pass unnoticed, at most the half hour in
# which sources publish anew.
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 1800.0
# A source that asks for more patience than a day is asked again tomorrow.
LONGEST_PATIENCE_S = 86_400.0
# Far above any honest file (a request's time takes about 20 bytes).
LARGEST_BYTES = 1_000_000
# It is held while a page of at most that size is read and written: far less than a second.
LOCK_PATIENCE_S, LOOK_S = 1.0, 0.005

Instant = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
Line = Annotated[str, AfterValidator(lambda text: "".join(filter(str.isprintable, text))[:1000])]


@dataclass(frozen=True, slots=True)
class Contact:
    """How a source was last met; ``detail`` says what failed, ``open_until`` when it is asked
    again. ``reached``: it answered when it was last asked, be it with a refusal.
    """

    last_success: datetime | None = None
    last_failure: datetime | None = None
    detail: str | None = None
    open_until: datetime | None = None
    reached: bool = True


class _Page(BaseModel):
    """The content of a file; ``asked`` are the times of the last requests, in Unix seconds.

    ``opened_at`` is when ``open_until`` was written.
    """

    model_config = ConfigDict(frozen=True)

    last_success: Instant | None = None
    last_failure: Instant | None = None
    detail: Line | None = None
    open_until: Instant | None = None
    opened_at: Instant | None = None
    failures: int = Field(default=0, ge=0)
    asked: tuple[FiniteFloat, ...] = ()

    def with_(self, **changes: object) -> _Page:
        return self.model_copy(update=changes)


class Ledger:
    """The file of one source."""

    def __init__(self, source: str, cache_dir: Path) -> None:
        self._source = source
        self._path = _path(source, cache_dir)
        self._mine = _Page()

    def admit(self, now: datetime, longest_s: float) -> bool:
        """Raise :class:`Unavailable` while the breaker is open.

        True where it was open: then this process alone asks once, and the others wait for
        ``longest_s`` to see what comes of it.
        """
        probing = False

        def step(page: _Page) -> _Page:
            nonlocal probing
            until = page.open_until
            # Opened later than now, or for longer than any breaker is: the clock was set back, or
            # the file was not written by us.
            longest = now + timedelta(seconds=LONGEST_PATIENCE_S)
            if until is None or until > longest or (page.opened_at or now) > now:
                return page
            if now < until:
                raise Unavailable(
                    f"{self._source} is not asked again before {_clock(until, now)}: {page.detail}"
                )
            probing = True
            return page.with_(open_until=now + timedelta(seconds=longest_s), opened_at=now)

        self._change(step)
        return probing

    def place_s(self, now: datetime, calls: int, per_s: float, longest_s: float) -> float:
        """Take the next free place of ``calls`` in ``per_s`` seconds; how long to wait for it.

        :class:`Unavailable` where that is longer than ``longest_s``; no place is taken then.
        """
        at = now.timestamp()
        wait_s = 0.0

        def step(page: _Page) -> _Page:
            nonlocal wait_s
            # A place further ahead than any door of the source waits for is no honest one; the
            # most patient wait for a whole span.
            ahead = at + per_s + longest_s
            places = sorted(t for t in page.asked if at - per_s < t <= ahead)
            wait_s = max(0.0, places[-calls] + per_s - at) if len(places) >= calls else 0.0
            if wait_s > longest_s:
                free = now + timedelta(seconds=wait_s)
                often = "once" if calls == 1 else f"{calls} times"
                raise Unavailable(
                    f"{self._source} may be asked {often} in {per_s:g} s: "
                    f"not again before {_clock(free, now)}"
                )
            return page.with_(asked=(*places, at + wait_s))

        self._change(step)
        return wait_s

    def failed(self, now: datetime, detail: str, after_s: float | None) -> str:
        """The source did not answer; ``after_s`` is the patience that it asked for.

        Returns, in words, until when it is not asked again; nothing where it may be.
        """
        until: datetime | None = None

        def step(page: _Page) -> _Page:
            nonlocal until
            failures = page.failures + 1
            pause_s = 0.0
            if failures >= OPENS_AFTER:
                # Five doublings are past the longest pause.
                doubled = 2.0 ** min(failures - OPENS_AFTER, 5)
                pause_s = min(FIRST_PAUSE_S * doubled, LONGEST_PAUSE_S)
            pause_s = max(pause_s, min(after_s or 0.0, LONGEST_PATIENCE_S))
            until = now + timedelta(seconds=pause_s) if pause_s else None
            return page.with_(
                last_failure=now, detail=detail, failures=failures, open_until=until, opened_at=now
            )

        self._change(step)
        return f"not asked again before {_clock(until, now)}" if until else ""

    def answered(self, now: datetime, refusal: str | None = None) -> None:
        """The source answered, so the breaker is closed; a refusal is no success."""
        closed: dict[str, object] = {"failures": 0, "open_until": None}
        if refusal is None:
            self._change(lambda page: page.with_(last_success=now, **closed))
        else:
            self._change(lambda page: page.with_(last_failure=now, detail=refusal, **closed))

    def _change(self, step: Callable[[_Page], _Page]) -> None:
        with _locked(self._path) as file:
            page = step((_read(file) if file else None) or self._mine)
            self._mine = page
            if file:
                _write(file, page)


def contact(source: str, cache_dir: Path) -> Contact | None:
    """How ``source`` was last met by any process of the home; None where never."""
    try:
        with _path(source, cache_dir).open("rb", buffering=0) as file:
            _lock(file, fcntl.LOCK_SH)
            page = _read(file)
    except OSError:
        return None
    if page is None or (page.last_success is None and page.last_failure is None):
        return None
    reached = page.failures == 0
    return Contact(page.last_success, page.last_failure, page.detail, page.open_until, reached)


def _path(source: str, cache_dir: Path) -> Path:
    return cache_dir / "contact" / f"{quote(source, safe='')}.json"


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """The file, held by this process alone; None where it cannot be written."""
    try:
        make_folder(path.parent)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", 0)
    except OSError:
        yield None
        return
    with file:
        _lock(file, fcntl.LOCK_EX)
        yield file  # closing it ends the lock


def _lock(file: BinaryIO, kind: int) -> None:
    """Wait for the lock, but not for a process that stands still (Ctrl-Z): at the worst one
    request is counted twice. Some network file systems have no locks.
    """
    until = time.monotonic() + LOCK_PATIENCE_S
    with suppress(OSError):
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return
                time.sleep(LOOK_S)
            else:
                return


def _read(file: BinaryIO) -> _Page | None:
    """The page; None where the file is torn, hostile or empty."""
    try:
        return _Page.model_validate_json(file.read(LARGEST_BYTES))
    except (OSError, ValueError, OverflowError):
        return None


def _write(file: BinaryIO, page: _Page) -> None:
    """In one call, so that a process that is killed leaves the old page or a torn one."""
    content = page.model_dump_json(exclude_none=True).encode()
    with suppress(OSError):  # a full disk: the next process finds a torn page, which is none
        file.seek(0)
        file.write(content)
        file.truncate(len(content))


def _clock(at: datetime, now: datetime) -> str:
    """A time of today, or of another day with its date."""
    same_day = at.date() == now.date()
    return at.strftime("%H:%M:%SZ" if same_day else "%Y-%m-%d %H:%M:%SZ")

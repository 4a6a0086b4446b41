"""The ledger of the host: what all runs hold of it, so that it is shared out but once.

Each run has an empty file in a folder in memory, whose name says which process holds how many
slots, from when to when, for which run. The folder of a user is that user's alone to write and
everyone's to read. What ended stays listed for a while: a run that looks later still learns for how
long it shared the machine. A run within another one (a child of its process) holds nothing of its
own: it uses what that one holds.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from providers.clocks import since_boot_s
from providers.runner import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder below it that is not its user's is not used
PREFIX = "lowtide-held-"
# What ended is listed for so long: runs look far oftener, also at a long sample interval.
LISTED_S = 600.0
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(.*)", re.ASCII)
_NUMBERS = count()


def folder() -> Path:
    """Where the runs of this user are listed."""
    if os.access(MEMORY, os.W_OK):
        return MEMORY / f"{PREFIX}{os.geteuid()}"
    # What lies there may be from before a boot, or another host's, where pids mean others.
    return Path(tempfile.gettempdir()) / f"{PREFIX}{os.geteuid()}-{proc.boot_id()}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One run in the ledger; times in seconds since boot, ``end_s`` None while it lasts."""

    pid: int
    start_ticks: int
    number: int
    slots: int
    begin_s: float
    end_s: float | None
    run: str

    @property
    def name(self) -> str:
        """The name of its file."""
        end_us = 0 if self.end_s is None else round(self.end_s * 1e6)
        head = f"{self.pid}-{self.start_ticks}-{self.number}-{self.slots}"
        return f"{head}-{round(self.begin_s * 1e6)}-{end_us}-{self.run}"

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells it from all others."""
        return (self.pid, self.start_ticks, self.number)


@lru_cache(4096)  # each run looks at the same names once a second
def parse(name: str) -> Entry | None:
    """The entry that a file stands for; None for any other file."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    pid, ticks, number, slots, begin_us, end_us = map(int, found.groups()[:6])
    end_s = end_us / 1e6 if end_us else None
    return Entry(pid, ticks, number, slots, begin_us / 1e6, end_s, found[7])


@dataclass(frozen=True, slots=True)
class Held:
    """Of a span of time: its seconds, and the machine-seconds that a run and that nobody held."""

    span_s: float
    own_s: float
    free_s: float


def shared_out(
    slots: int, others: Iterable[Entry], begin_s: float, end_s: float, *, cpus: int, within: bool
) -> Held:
    """What one run holds of a machine from ``begin_s`` to ``end_s``.

    Its slots over all CPUs; over all slots that are held, at the moments at which these are more.
    Over all runs that is at most the machine, and all of it where as much is held. A run ``within``
    another one uses what that one holds, which is among ``others``.
    """
    spans = [(o.slots, o.begin_s, end_s if o.end_s is None else o.end_s) for o in others]
    edges = {begin_s, end_s, *(t for _, a, b in spans for t in (a, b) if begin_s < t < end_s)}
    own_s = free_s = 0.0
    for a, b in pairwise(sorted(edges)):
        held = sum(n for n, first, last in spans if first <= a and b <= last)
        held = max(slots, held if within else held + slots)
        own_s += (b - a) * slots / max(cpus, held)
        free_s += (b - a) * max(0, cpus - held) / cpus
    return Held(end_s - begin_s, own_s, free_s)


class Holdings:
    """What one run holds. Where the folder cannot be used it knows of no other run.

    ``within`` is the run that this one is a part of, None where it stands by itself.
    """

    def __init__(
        self,
        slots: int,
        run: str = "",
        place: Path | None = None,
        clock: Callable[[], float] = since_boot_s,
    ) -> None:
        self._slots, self._clock, self._cpus = slots, clock, os.cpu_count() or 1
        self._place: Path | None = None
        self._entry: Entry | None = None
        self._known: dict[tuple[int, int, int], Entry] = {}
        self.within: str | None = None
        me = proc.identify(os.getpid())
        with suppress(OSError):
            place = place or folder()
            place.mkdir(mode=0o755, exist_ok=True)
            found = place.lstat()
            if me is not None and found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode):
                place.chmod(0o755)  # whatever the umask was
                self._place = place
                self._forget()
                self.within = self._outer()
                if self.within is None:
                    entry = Entry(
                        me.pid, me.start_ticks, next(_NUMBERS), slots, clock(), None,
                        re.sub(r"[^A-Za-z0-9_.-]", "_", run)[:100],
                    )  # fmt: skip
                    (place / entry.name).touch(mode=0o644)
                    self._entry = entry
        # From here on: whoever looked before the file was there has not shared with us.
        self._looked_s = clock()

    def look(self) -> Held:
        """What it held since the last look."""
        begin_s, self._looked_s = self._looked_s, self._clock()
        mine = None if self._entry is None else self._entry.key
        lately = [e for e in self._listed() if e.end_s is None or e.end_s > begin_s]
        living = {e.key: e for e in lately if e.end_s is None and e.key != mine and _lives(e)}
        ended = {e.key: e for e in lately if e.end_s is not None and e.key != mine}
        # What lived at the last look, and did not say when it ended, was killed just now.
        others = self._known | living | ended
        found = shared_out(
            self._slots, others.values(), begin_s, self._looked_s,
            cpus=self._cpus, within=self.within is not None,
        )  # fmt: skip
        self._known = living
        return found

    def close(self) -> None:
        """It holds nothing any more."""
        if self._place is None or self._entry is None:
            return
        entry, self._entry = self._entry, None
        ended = Entry(*entry.key, entry.slots, entry.begin_s, self._clock(), entry.run)
        with suppress(OSError):
            (self._place / entry.name).rename(self._place / ended.name)

    def _outer(self) -> str | None:
        """The run of the nearest process above this one, or of this one, that holds something."""
        listed = {(e.pid, e.start_ticks): e.run for e in self._listed() if e.end_s is None}
        pid = os.getpid()
        while pid > 0 and (found := proc.stat(pid)) is not None:
            if (run := listed.get((pid, found.start_ticks))) is not None:
                return run
            pid = found.parent
        return None

    def _listed(self) -> Iterator[Entry]:
        """What all users hold, and what they have held up to lately."""
        for place in self._places():
            with suppress(OSError):
                yield from filter(None, map(parse, os.listdir(place)))  # noqa: PTH208

    def _places(self) -> Iterator[Path]:
        if self._place is None:
            return
        yield self._place
        for name in os.listdir(self._place.parent):  # noqa: PTH208
            if not name.startswith(PREFIX) or name == self._place.name:
                continue
            with suppress(OSError):
                other = self._place.parent / name
                found = other.lstat()
                named = name.removeprefix(PREFIX).partition("-")[0]
                if stat.S_ISDIR(found.st_mode) and named == str(found.st_uid):
                    yield other

    def _forget(self) -> None:
        """Take away what ended long ago, and what was killed; only of this user."""
        assert self._place is not None
        for name in os.listdir(self._place):  # noqa: PTH208
            entry = parse(name)
            if entry is None:
                continue
            ended = (
                not _lives(entry)
                if entry.end_s is None
                else (self._clock() - entry.end_s > LISTED_S)
            )
            if ended:
                with suppress(OSError):
                    (self._place / name).unlink()


def _lives(entry: Entry) -> bool:
    return proc.lives(entry.pid, entry.start_ticks)

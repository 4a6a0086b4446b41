"""The energy record of a running attempt: when to sample, and what to write."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from providers import clocks
from providers.base import Usage
from providers.host import busy_cpu_s
from providers.meters import microarchitecture
from providers.runner import slurm_steps
from providers.runner.clients import Clients, left_out
from providers.runner.journal import JournalWriter
from providers.runner.log import say
from providers.runner.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from providers.base import Counting
    from providers.runner.holdings import Holdings
    from providers.runner.metering import Metering
    from providers.runner.proc import Stat

# The journal grows with the logarithm of time: a crash loses at most this share of the run.
THINNING = 0.001
# Between two looks at what takes its sum along when it ends: so much of it may be missed.
HURRIED_S = 0.2
# A run that used less of a CPU than this, on a machine on which others used more than that, may
# have had them work for it; a shorter one says nothing.
SLEPT_SHARE, BUSY_SHARE, HINT_AFTER_S = 0.1, 0.5, 1.0
WITHIN = (
    "this run lies within run {run}, whose energy holds that of this one's CPU and memory: do not "
    "add the two"
)


class Clock:
    """Wall time that no clock step and no suspend can bend: its start plus time since boot."""

    def __init__(self) -> None:
        self.wall = time.time()
        self._boot, self._awake = clocks.since_boot_s(), clocks.awake_s()

    def elapsed(self) -> float:
        """Seconds since the start, suspended ones included."""
        return clocks.since_boot_s() - self._boot

    def awake(self) -> float:
        """Seconds since the start without suspended ones, in which nothing is metered."""
        return clocks.awake_s() - self._awake

    def now(self) -> float:
        """Unix seconds."""
        return self.wall + self.elapsed()


class Uses(Protocol):
    """What is metered."""

    @property
    def living(self) -> Mapping[int, Stat]:
        """Its processes at the last look."""
        ...

    @property
    def beside(self) -> dict[str, float]:
        """How much of its CPU seconds others used for it, by who they are."""
        ...

    def reaches(self, client: str) -> bool:
        """Whether what a client handed to others is metered with it."""
        ...

    @property
    def hurried(self) -> bool:
        """Whether what ends between two looks is lost."""
        ...

    def unmetered(self, clients: Mapping[str, None]) -> str | None:
        """Why a part of its own work is missing; None where it is not."""
        ...

    @property
    def unseen_s(self) -> float:
        """By how much the CPU seconds of the last look may be too few."""
        ...

    def usage(self) -> tuple[float, int]:
        """CPU seconds so far (never falling), and resident bytes now."""
        ...

    def counted_by(self) -> Counting:
        """How its CPU seconds are counted."""
        ...

    def final_cpu_s(self) -> float:
        """CPU seconds at its end."""
        ...


class Record:
    """Samples into the journal; what cannot be written is a gap, and the job runs on."""

    def __init__(
        self,
        run_dir: Path,
        interval_s: float,
        clock: Clock,
        metering: Metering,
        tree: Uses,
        holdings: Holdings,
        argv: Sequence[str] = (),
    ) -> None:
        self._clock, self._metering, self._tree = clock, metering, tree
        self._interval = self.next_at = metering.poll_s(interval_s)
        self._holdings, self._shares = holdings, Shares(holdings)
        self._clients, self._busy_s = Clients(argv), busy_cpu_s()
        self._awake = self._written = self._rss_gb_s = self._seen_cpu_s = 0.0
        self._lost = self._noted = 0
        self._known = len(metering.components)
        self._writer: JournalWriter | None = None
        try:
            meta: dict[str, Any] = {
                "interval_s": interval_s,
                "meters": metering.used,
                "cpu": microarchitecture.here().name,
                "cpus": os.cpu_count(),
                "attribution": {"counted_by": tree.counted_by()},
            }
            if holdings.within is not None:
                meta["within"] = holdings.within
                metering.notes.append(WITHIN.format(run=holdings.within))
            self._writer = JournalWriter(run_dir, metering.components, meta, clock.wall)
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            say(f"no energy journal: {e}")

    def begin(self) -> None:
        """Tell the meters of the job's processes, so that its work is known from the first moment.

        What is read is in the next sample.
        """
        cpu_s, _ = self._tree.usage()
        living = frozenset(self._tree.living)
        self._metering.sample(Usage(self._clock.awake(), cpu_s, 0.0, living))

    def sample(self, *, last: bool = False) -> None:
        """Read the meters; write a line where one is due."""
        elapsed, awake = self._clock.elapsed(), self._clock.awake()
        cpu_s, rss_bytes = self._tree.usage()
        self._rss_gb_s += rss_bytes / 1e9 * (awake - self._awake)
        new = self._clients.look(self._tree.living)
        self._shares.add(awake - self._awake, cpu_s, rss_bytes)
        self._awake = awake
        hurried = min(self._interval, HURRIED_S) if self._tree.hurried else self._interval
        self.next_at = elapsed + hurried
        if not last:
            self._seen_cpu_s = cpu_s
        usage = Usage(
            awake,
            cpu_s,
            self._rss_gb_s,
            frozenset(self._tree.living),
            self._shares.cpu_s,
            self._shares.memory_s,
            self._tree.unseen_s,
        )
        readings = self._metering.sample(usage)
        due = last or elapsed - self._written >= elapsed * THINNING
        if self._writer is None or not due:
            return
        try:
            for found in self._metering.components[self._known :]:
                self._writer.add(found)
                self._known += 1
                self._writer.tell({"meters": self._metering.used})
            self._writer.sample(self._clock.wall + elapsed, cpu_s, readings, self._shares.cpu_s)
            self._written = elapsed
            if new and not last:
                self._writer.tell(self._out_of_reach())
            self._write_notes(self._writer)
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            if not self._lost:
                say(f"the energy journal has a gap: {e}")
            self._lost += 1

    def close(self, *, rested: bool = False) -> None:
        """The last sample, the notes, how the job was counted, and all of it to disk.

        ``rested``: it was stopped for a while by whoever runs it.
        """
        self.sample(last=True)
        self._holdings.close()
        if self._writer is None:
            return
        try:
            beyond = self._out_of_reach()
            self._metering.notes += [f"not metered: {what}" for what in beyond["left_out"]]
            self._metering.notes += filter(None, [beyond["unmetered"]])
            if not rested:
                self._hint_at_others()
            self._writer.tell(
                {
                    "attribution": {
                        "counted_by": self._tree.counted_by(),
                        "seen_cpu_s": self._seen_cpu_s,
                        "cpu_s": self._tree.final_cpu_s(),
                        "unseen_cpu_s": self._tree.unseen_s,
                        "beside_cpu_s": self._tree.beside,
                    },
                    "suspended_s": max(0.0, self._clock.elapsed() - self._clock.awake()),
                    **beyond,
                }
            )
            self._write_notes(self._writer)
            if self._lost:
                self._writer.note(f"{self._lost} sample(s) could not be written")
            self._writer.sync()
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            say(f"the energy journal is incomplete: {e}")
        finally:
            self._writer.close()
            self._writer = None

    def _hint_at_others(self) -> None:
        """Whether others may have worked for a job that did next to nothing itself."""
        cpu_s, busy_s, awake_s = self._tree.final_cpu_s(), busy_cpu_s(), self._clock.awake()
        if busy_s is None or self._busy_s is None or awake_s < HINT_AFTER_S:
            return
        others_s = busy_s - self._busy_s - cpu_s
        if cpu_s < SLEPT_SHARE * awake_s and others_s > BUSY_SHARE * awake_s:
            self._metering.notes.append(
                f"the run used {cpu_s:.1f} CPU seconds in {awake_s:.0f} s, and other processes of "
                f"this machine {others_s:.1f}: if they worked for it (a server, a daemon), their "
                "energy is not in this report"
            )

    def _out_of_reach(self) -> dict[str, Any]:
        """What is known of work that the meters do not reach, for the journal."""
        unmetered = self._tree.unmetered(self._clients.seen)
        names = [
            name
            for name in self._clients.seen
            if not self._tree.reaches(name) and (name != slurm_steps.CLIENT or unmetered)
        ]
        return {"left_out": [left_out(name) for name in names], "unmetered": unmetered}

    def _write_notes(self, writer: JournalWriter) -> None:
        """Each as soon as it is known: a runner may be killed."""
        for note in self._metering.notes[self._noted :]:
            writer.note(note)
            self._noted += 1

"""Fakes for tests of lowtide and of what is built on it. They stand at the border only and
pass the same contract tests as the real things. Boards without a board: :mod:`.nvml`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from providers.arrays import np
from providers.base import (
    CHECKPOINTED,
    ZERO,
    Capabilities,
    Component,
    Probe,
    Reading,
    Receipt,
    RunState,
    Scope,
    Triple,
    Usage,
)
from providers.errors import NoData, ProviderError
from providers.runner import journal
from providers.series import Series, SourceInfo, empty, to_unix
from scheduler.testing.powercap import FakePowercap as FakePowercap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from providers.base import EndReason, Launch


@dataclass
class FixedClock:
    """A clock that stands until it is moved."""

    now: datetime

    def advance(self, **span: float) -> datetime:
        """Move by a span, e.g. ``hours=2``; returns the new time."""
        self.now += timedelta(**span)
        return self.now


@dataclass
class FakeProvider:
    """Hourly intensities by zone from ``start`` on; ``actuals`` says whether they also happen.

    Set ``fails`` to make every question raise it; actuals may be revised for ``final_after_s``.
    """

    start: datetime
    hourly: Mapping[str, Sequence[float]]
    actuals: bool = False
    name: str = "fake"
    fails: ProviderError | None = None
    final_after_s: float = 0.0
    asked: list[tuple[str, datetime, datetime]] = field(default_factory=list)

    @property
    def info(self) -> SourceInfo:
        """A source that needs nothing, as if it were asked over the network."""
        return SourceInfo(
            name=self.name,
            title="fake",
            signal="average",
            factors=None,
            flow=None,
            licence="none",
            step_s=3600,
            horizon_h=None,
            has_actuals=self.actuals,
            shiftable=True,
            final_after_s=self.final_after_s,
            live=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The zones it was given."""
        return frozenset(self.hourly)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """The values it was given, as a forecast issued now."""
        self.asked.append((zone, start, end))
        return self._series(zone, start, end, now)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """The same values as actuals, if it has them."""
        if not self.actuals:
            return empty(zone, "average", "actual", end)
        return replace(self._series(zone, start, end, end), kind="actual")

    def _series(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        if self.fails is not None:
            raise self.fails
        if zone not in self.hourly:
            raise NoData(f"fake has no zone {zone}: it has {', '.join(sorted(self.hourly))}")
        values = np.array(self.hourly[zone], dtype=np.float64)
        starts = self.start.timestamp() + 3600.0 * np.arange(len(values), dtype=np.float64)
        sources = np.array([self.name] * len(values))
        whole = Series(
            zone, "average", "forecast", now, starts, starts + 3600, values, values, values, sources
        )
        return whole.clip(to_unix(start), to_unix(end))


@dataclass(frozen=True)
class FakeHistory:
    """Stored actuals of any zone in ``zones``: hourly values from ``start`` on, by one source."""

    start: datetime
    hourly: Sequence[float]
    zones: frozenset[str] = frozenset({"DE"})

    def actuals(self, zone: str, start: datetime, end: datetime) -> Sequence[Series]:
        """The part of them in ``[start, end)``."""
        if zone not in self.zones:
            return ()
        told = FakeProvider(self.start, {zone: self.hourly}, actuals=True, name="history")
        found = told.actual(zone, start, end)
        return (found,) if len(found) else ()


@dataclass(frozen=True)
class FakeMeter:
    """A meter of one component with constant power; also its own kind."""

    watts: float = 100.0
    name: str = "cpu"

    def probe(self) -> Probe:
        """It always works."""
        return Probe(True, "fake")

    def open(self, scope: Scope) -> FakeMeter:
        """One meter serves every scope."""
        return self

    def components(self) -> tuple[Component, ...]:
        """The one component."""
        return (Component(self.name, "measured", "fake meter", self.watts),)

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Power times elapsed time; all of it active."""
        joules = Triple.exact(self.watts * usage.elapsed_s)
        if usage.elapsed_s <= 0:
            joules = ZERO
        return (Reading(self.name, joules, joules, usage.elapsed_s),)

    def notes(self) -> tuple[str, ...]:
        """It finds nothing."""
        return ()

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class FakeExecutor:
    """Runs nothing: a job "runs" for ``run_s`` on the given clock and exits as told.

    ``durations_s`` maps a job's first word to a time of its own; ``exit_codes`` maps it to its
    exit code (``false`` to 1 by default, a word that no PATH knows to a failed start). What a
    job ran until it checkpointed, its next attempt need not run again; those whose first word
    is in ``unable`` die of the TERM that asks them to. With ``watts`` each attempt that has ended
    leaves a journal of that power, where its run folder is there.
    """

    clock: FixedClock = field(default_factory=lambda: FixedClock(datetime.now(UTC)))
    run_s: float = 0.0
    capacity: int = 4
    durations_s: Mapping[str, float] = field(default_factory=dict)
    exit_codes: Mapping[str, int] = field(default_factory=lambda: {"false": 1})
    unable: frozenset[str] = frozenset()
    watts: float | None = None
    gpus: tuple[str, ...] = ()
    capabilities: Capabilities = field(default_factory=Capabilities)
    launches: dict[str, tuple[Launch, datetime]] = field(default_factory=dict)
    stopped: dict[str, datetime] = field(default_factory=dict)
    checkpointed: dict[str, datetime] = field(default_factory=dict)
    standing: dict[str, datetime] = field(default_factory=dict)
    pauses: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=dict)

    def slots(self) -> int:
        """As many as it was given."""
        return self.capacity

    def free_gpus(self, taken: frozenset[str]) -> tuple[str, ...]:
        """Those of its ``gpus`` that no launch of it computes on, and that are not taken."""
        running = {
            uuid
            for launch, _ in self.launches.values()
            for uuid in launch.gpus
            if self.poll(Path(launch.run_dir), launch.token).phase in {"running", "paused"}
        }
        return tuple(uuid for uuid in self.gpus if uuid not in taken | running)

    def assignable_gpus(self) -> tuple[int, int]:
        """Two for one job, four for all, where it is to assign them."""
        return 2, 4

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        """Note the launch; a second one for the same folder only lets it begin now."""
        if launch.run_dir in self.stopped:
            return
        begin = self.clock.now if begin_s is None else datetime.fromtimestamp(begin_s, UTC)
        known = self.launches.setdefault(launch.run_dir, (launch, begin))
        if known[1] > begin:
            self.launches[launch.run_dir] = (known[0], begin)

    def move(self, launch: Launch, begin_s: float) -> bool:
        """To another hour, unless it has begun."""
        found = self.launches.get(launch.run_dir)
        if found is None or launch.run_dir in self.stopped or found[1] <= self.clock.now:
            return False
        self.launches[launch.run_dir] = (launch, datetime.fromtimestamp(begin_s, UTC))
        return True

    def take_back(self, run_dir: Path, token: str) -> bool:
        """It will not begin, unless it has."""
        if self.poll(run_dir, token).phase in {"waiting", "absent"}:
            self.stopped[str(run_dir)] = self.clock.now
        return str(run_dir) in self.stopped

    def poll(self, run_dir: Path, token: str) -> RunState:
        """Absent, running or paused until its time is over, then ended with a receipt."""
        key = str(run_dir)
        found = self.launches.get(key)
        stop, checkpoint = self.stopped.get(key), self.checkpointed.get(key)
        if found is None:
            return RunState("absent" if stop is None else "gone")
        launch, begun = found
        if stop is not None and stop < begun:
            return RunState("gone")
        if self.clock.now < begun:
            return RunState("waiting")
        if key in self.standing:
            return RunState("paused", begun.timestamp())
        end = stop or checkpoint or self._end(launch, begun)
        if self.clock.now < end:
            return RunState("running", begun.timestamp())
        known = shutil.which(launch.argv[0]) is not None
        reason: EndReason = "exited" if known else "not_started"
        code = self.exit_codes.get(launch.argv[0], 0)
        if stop is not None:
            reason = "stopped"
        elif checkpoint is not None:
            reason, code = "paused", CHECKPOINTED
        died = stop is not None or (checkpoint is not None and launch.argv[0] in self.unable)
        receipt = Receipt(
            job_id=launch.job_id,
            attempt=launch.attempt,
            reason=reason,
            started_at=begun.timestamp(),
            ended_at=end.timestamp(),
            exit_code=None if died or not known else code,
            signal=15 if died else None,
            cpu_s=0.0,
            error=None if known else f"{launch.argv[0]} was not found",
            pauses=tuple((a.timestamp(), b.timestamp()) for a, b in self.pauses.get(key, ())),
        )
        self._meter(run_dir, receipt)
        return RunState("ended", begun.timestamp(), receipt)

    def _meter(self, run_dir: Path, receipt: Receipt) -> None:
        """The journal that a runner with a :class:`FakeMeter` would have left."""
        if self.watts is None or not run_dir.is_dir() or (run_dir / "journal.jsonl").exists():
            return
        meter = FakeMeter(self.watts)
        written = journal.JournalWriter(run_dir, meter.components(), {}, receipt.started_at)
        usage = Usage(receipt.ended_at - receipt.started_at, 0.0, 0.0)
        written.sample(receipt.ended_at, 0.0, meter.sample(usage))
        written.close()

    def _end(self, launch: Launch, begun: datetime) -> datetime:
        """When its run time is over, which rests while it is stopped."""
        run = timedelta(seconds=self.durations_s.get(launch.argv[0], self.run_s))
        for earlier, since in self.launches.values():
            lost = earlier.argv[0] in self.unable
            if earlier.job_id == launch.job_id and earlier.attempt < launch.attempt and not lost:
                run -= self.checkpointed.get(earlier.run_dir, since) - since
        stood = sum((b - a for a, b in self.pauses.get(launch.run_dir, ())), timedelta())
        return begun + max(run, timedelta()) + stood

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """End it now, unless it has ended; one that was never started will not be."""
        if self.poll(run_dir, token).phase in {"waiting", "running", "paused", "absent"}:
            self.resume(run_dir, token)
            self.stopped.setdefault(str(run_dir), self.clock.now)

    def pause(self, run_dir: Path, token: str) -> None:
        """Stop it until it is resumed, or end it at once with a checkpoint, as its launch says."""
        if self.poll(run_dir, token).phase != "running":
            return
        mode = self.launches[str(run_dir)][0].pause_signal
        if mode == "stop":
            self.standing[str(run_dir)] = self.clock.now
            self._tell(run_dir)
        elif mode == "checkpoint":
            self.checkpointed[str(run_dir)] = self.clock.now

    def resume(self, run_dir: Path, token: str) -> None:
        """Let it go on, if it is stopped."""
        since = self.standing.pop(str(run_dir), None)
        if since is not None:
            self.pauses.setdefault(str(run_dir), []).append((since, self.clock.now))
            self._tell(run_dir)

    def _tell(self, run_dir: Path) -> None:
        """Leave word of its pauses, where its folder is there."""
        told: list[tuple[float, float | None]] = [
            (a.timestamp(), b.timestamp()) for a, b in self.pauses.get(str(run_dir), ())
        ]
        if str(run_dir) in self.standing:
            told.append((self.standing[str(run_dir)].timestamp(), None))
        if run_dir.is_dir():
            journal.write_json(run_dir / "pauses.json", {"pauses": told})

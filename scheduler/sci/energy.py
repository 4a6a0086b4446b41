"""Energy of a job from the journals of its attempts.

Cumulative readings become increments over the time between two readings of a component; the
energy of an increment is spread evenly over it, so that splitting one changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from providers.arrays import np
from providers.base import JOULES_PER_KWH, Triple
from scheduler.models import AttemptEnergy, ComponentEnergy
from scheduler.sci.attribution import describe, left_out_of, suspended_s, unmetered_of
from scheduler.sci.embodied import BOARD
from scheduler.sci.uncertainty import Part, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from providers.base import Component, Journal

# Below this a board's readings are worth little: arXiv 2312.02741 needs 5 s for an error of 5 %.
SHORT_S = 5.0
# Two sample intervals: less than that between the last reading and the end is no hole. Of a short
# run so much would be all: there a tenth of it counts as one, and never less than a runner may take
# to start and end a job on a busy machine.
HOLE_S = 2.0
HOLE_SHARE = 0.1
LEAST_HOLE_S = 0.5
# The method whose errors are of the device itself; power that was sampled and integrated misses
# what lies between samples on all boards alike, where these do the same work in step.
COUNTED: Final = "measured"


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One start as settlement sees it; ``ended_at`` None while it runs.

    ``stops`` are the times (Unix s) for which its processes were stopped, ``reload_s`` is what
    it is declared to repeat after each of them, and after its start where ``resumed``.
    """

    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    journal: Journal
    stops: tuple[tuple[float, float | None], ...] = ()
    reload_s: float = 0.0
    resumed: bool = False

    @property
    def end_s(self) -> float:
        """Unix seconds of its end, or of its last sample while it runs."""
        if self.ended_at is not None:
            return self.ended_at.timestamp()
        last = self.journal.samples[-1].at if self.journal.samples else 0.0
        return max(last, self.started_at.timestamp())

    @property
    def run_s(self) -> float:
        """How long it ran."""
        return self.end_s - self.started_at.timestamp()


@dataclass(frozen=True)
class Profile:
    """Energy over time: ``n`` increments end to end between ``n + 1`` Unix times.

    ``kwh`` is ``n x 3``: low, value, high. ``part`` names what drew it and by which method;
    ``counted``: by a counter of its own.
    """

    times: NDArray[np.float64]
    kwh: NDArray[np.float64]
    part: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Energy:
    """What was drawn; totals are None where no component could be read, and where a part of the
    job's own work was not metered (``unmetered`` says why). ``left_out`` is work of others for it.

    ``unbounded`` names what was held but not read, for all or part of the time, where it is not
    known either what it can draw: the totals have no upper bound then.
    """

    components: tuple[ComponentEnergy, ...]
    active_kwh: Triple | None
    reserved_kwh: Triple | None
    profiles: tuple[Profile, ...]
    attempts: tuple[AttemptEnergy, ...]
    cpu_s: float
    run_s: float
    notes: tuple[str, ...]
    unbroken: tuple[Profile, ...]
    unbroken_s: float
    unbounded: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    unmetered: str = ""


def tally(attempts: Sequence[AttemptRecord]) -> Energy:
    """Sum all attempts, failed ones included. Component energies add up to the totals.

    That holds for the values; bounds combine as :mod:`scheduler.sci.uncertainty` says.

    ``unbroken`` is the same without what pauses and waits between attempts brought: what the
    job would have drawn had it run in one piece.
    """
    run_s = sum(a.run_s for a in attempts)
    parts: dict[tuple[str, str, str], _Part] = {}
    profiles: list[Profile] = []
    rows: list[AttemptEnergy] = []
    notes: list[str] = []
    unbounded: list[str] = []
    for attempt in attempts:
        own = [_of_component(attempt, c) for c in attempt.journal.components]
        notes += attempt.journal.notes
        for part in own:
            key = (part.component.name, part.component.method, part.component.source)
            parts[key] = part if key not in parts else parts[key].plus(part)
            profiles += part.profiles
            if part.unread_kwh:
                counts = "counts them at full power"
                if not part.bounded:
                    counts = "is missing, as it is not known what it can draw"
                    unbounded.append(part.component.name)
                notes.append(
                    f"{part.component.name}: {part.hole_s:.0f} s of {attempt.run_s:.0f} s were "
                    f"not read; the upper bound {counts}"
                )
            if _is_short(part, attempt):
                notes.append(
                    f"{part.component.name}: a run of {attempt.run_s:.1f} s is short for a board's "
                    f"counter or sensor, which need {SHORT_S:g} s (arXiv 2312.02741)"
                )
        if not own and attempt.run_s > HOLE_S:
            unbounded.append(f"the attempt of {attempt.started_at:%Y-%m-%dT%H:%M:%SZ}")
        rows.append(
            AttemptEnergy(
                attempt.started_at,
                attempt.ended_at,
                attempt.exit_code,
                _total([(p.energy_kwh, p) for p in own], unmetered_of(attempt.journal)),
                describe(attempt.journal, ended=attempt.ended_at is not None),
            )
        )
    components = tuple(part.as_component(run_s) for part in parts.values())
    cuts = _cuts(attempts)
    whole_s = attempts[-1].end_s - attempts[0].started_at.timestamp() if attempts else 0.0
    unmetered = "; ".join(dict.fromkeys(filter(None, (unmetered_of(a.journal) for a in attempts))))
    if unmetered:
        profiles = []
    return Energy(
        components=components,
        active_kwh=open_above(
            _total([(p.active_kwh, p) for p in parts.values()], unmetered), unbounded
        ),
        reserved_kwh=open_above(
            _total([(p.energy_kwh, p) for p in parts.values()], unmetered), unbounded
        ),
        profiles=tuple(profiles),
        attempts=tuple(rows),
        cpu_s=sum(a.journal.samples[-1].cpu_s for a in attempts if a.journal.samples),
        run_s=run_s,
        notes=tuple(dict.fromkeys(notes)),
        unbroken=tuple(_without(profile, cuts) for profile in profiles),
        unbroken_s=max(0.0, whole_s - sum(b - a for a, b in cuts)),
        unbounded=tuple(dict.fromkeys(unbounded)),
        left_out=tuple(dict.fromkeys(x for a in attempts for x in left_out_of(a.journal))),
        unmetered=unmetered,
    )


def _is_short(part: _Part, attempt: AttemptRecord) -> bool:
    is_board = part.component.name.startswith(BOARD) and part.component.method != "missing"
    return is_board and attempt.ended_at is not None and attempt.run_s < SHORT_S


def _cuts(attempts: Sequence[AttemptRecord]) -> list[tuple[float, float]]:
    """Times that an unbroken run would not have had: waits, stops, and reloads after them."""
    found: list[tuple[float, float]] = []
    for i, attempt in enumerate(attempts):
        begun, end = attempt.started_at.timestamp(), attempt.end_s
        if i:
            found.append((attempts[i - 1].end_s, begun))
        ends = [begun] if attempt.resumed else []
        for a, b in attempt.stops:
            ends.append(end if b is None else min(b, end))
            found.append((a, ends[-1]))
        found += [(b, min(b + attempt.reload_s, end)) for b in ends]
    merged: list[tuple[float, float]] = []
    for a, b in sorted(found):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        elif b > a:
            merged.append((a, b))
    return merged


def _without(profile: Profile, cuts: Sequence[tuple[float, float]]) -> Profile:
    """The profile with the cuts taken out, and all after them moved up."""
    if not cuts:
        return profile
    edges = np.unique(np.concatenate((profile.times, np.array(cuts).ravel())))
    edges = edges[(edges >= profile.times[0]) & (edges <= profile.times[-1])]
    drawn = np.vstack((np.zeros(3), np.cumsum(profile.kwh, axis=0)))
    at = np.stack([np.interp(edges, profile.times, drawn[:, k]) for k in range(3)], axis=1)
    gone = sum(np.clip(edges - a, 0.0, b - a) for a, b in cuts)
    left = edges - gone
    keep = np.diff(left) > 0
    return replace(profile, times=left[np.append(True, keep)], kwh=np.diff(at, axis=0)[keep])


@dataclass(frozen=True, slots=True)
class _Part:
    component: Component
    active_kwh: Triple | None
    energy_kwh: Triple | None
    covered_s: float
    hole_s: float
    profiles: tuple[Profile, ...]
    unread_kwh: float
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def bounded(self) -> bool:
        """Whether it is known what it can have drawn at most while it was not read."""
        return self.unread_kwh < math.inf

    def with_unread(self, read: Triple | None) -> Triple | None:
        """A figure of what was read, up to what else there may have been; None: nothing was."""
        return None if read is None else read + Triple(0.0, 0.0, self.unread_kwh)

    def plus(self, other: _Part) -> _Part:
        return _Part(
            self.component,
            _plus(self.active_kwh, other.active_kwh),
            _plus(self.energy_kwh, other.energy_kwh),
            self.covered_s + other.covered_s,
            self.hole_s + other.hole_s,
            (),
            self.unread_kwh + other.unread_kwh,
            other.facts or self.facts,
        )

    def as_component(self, run_s: float) -> ComponentEnergy:
        coverage = min(100.0, 100.0 * self.covered_s / run_s) if run_s > 0 else 0.0
        return ComponentEnergy(
            self.component.name,
            self.component.method,
            self.component.source,
            coverage,
            self.with_unread(self.active_kwh),
            self.with_unread(self.energy_kwh),
            dict(self.facts),
            self.component.replayed,
        )


def _of_component(attempt: AttemptRecord, component: Component) -> _Part:
    readings = [
        (sample.at, reading)
        for sample in attempt.journal.samples
        for reading in sample.readings
        if reading.component == component.name
    ]
    part = f"{component.name} energy ({component.method})"
    counted = component.method == COUNTED
    covered_s = readings[-1][1].covered_s if len(readings) > 1 else 0.0
    hole_s = max(0.0, attempt.run_s - covered_s - suspended_s(attempt.journal))
    told = component.method != "missing" and len(readings) > 1
    read = told and (covered_s > 0 or hole_s == 0)
    unread_kwh = 0.0
    if not read or hole_s > min(HOLE_S, max(LEAST_HOLE_S, HOLE_SHARE * attempt.run_s)):
        most_w = math.inf if component.max_w is None else component.max_w
        unread_kwh = most_w * hole_s / JOULES_PER_KWH if hole_s else 0.0
    holes: list[Profile] = []
    if 0 < unread_kwh < math.inf:
        # The hole is at the end where the runner died; else it is somewhere within.
        last = readings[-1][0] if read else attempt.end_s
        begin = last if attempt.end_s - last > HOLE_S else attempt.started_at.timestamp()
        drawn = np.array([[0.0, 0.0, unread_kwh]])
        holes = [Profile(np.array([begin, attempt.end_s]), drawn, part, counted)]
    if not read:
        return _Part(component, None, None, 0.0, hole_s, tuple(holes), unread_kwh)
    at = np.array([t for t, _ in readings])
    energy = _cumulative([(r.energy_j.low, r.energy_j.value, r.energy_j.high) for _, r in readings])
    active = _cumulative([(r.active_j.low, r.active_j.value, r.active_j.high) for _, r in readings])
    return _Part(
        component,
        Triple(*(float(x) for x in _in_order(active[-1:] - active[:1])[0])),
        Triple(*(float(x) for x in _in_order(np.diff(energy, axis=0)).sum(axis=0))),
        covered_s,
        hole_s,
        (Profile(at, _in_order(np.diff(energy, axis=0)), part, counted), *holes),
        unread_kwh,
        readings[-1][1].facts,
    )


def _cumulative(rows: list[tuple[float, float, float]]) -> NDArray[np.float64]:
    """In kWh; a counter that fell back is held, so that no increment is negative."""
    return np.maximum.accumulate(np.array(rows) / JOULES_PER_KWH, axis=0)


def _in_order(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Increments whose bounds hold their value: of a damaged journal they may cross."""
    low, value, high = drawn.T
    return np.stack((np.minimum(low, value), value, np.maximum(value, high)), axis=1)


def _plus(one: Triple | None, other: Triple | None) -> Triple | None:
    """Terms with one and the same error, or the same component over more time: bounds add up."""
    return (one + other) if one and other else one or other


def _total(figures: Sequence[tuple[Triple | None, _Part]], unmetered: str) -> Triple | None:
    """The sum of what was read; what was not widens its upper bound. None where a part of the
    work itself was not metered.
    """
    found = total([Part(f, p.component.method == COUNTED) for f, p in figures if f is not None])
    unread = sum(p.unread_kwh for _, p in figures)
    return None if found is None or unmetered else found + Triple(0.0, 0.0, unread)


def open_above(figure: Triple | None, unbounded: Sequence[str]) -> Triple | None:
    """The figure, without an upper bound where something in it has none."""
    return replace(figure, high=math.inf) if figure is not None and unbounded else figure

"""A recorded energy journal, played back as a meter: for tests and for demos that repeat.

It is named with the file of the record, or the run folder that holds it: ``replay:PATH``.
Readings stand between two samples of the record in proportion to time; after its end nothing
more is read. Whatever the record says it measured, it was not measured here: each component is
marked as replayed, and its source tells from where.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Component, Probe, Reading, Triple
from providers.journal import read

if TYPE_CHECKING:
    from providers.base import Journal, Scope, Usage

USE = "name a recorded journal by its absolute path: replay:/path/to/journal.jsonl"


class ReplayMeter:
    """One record, from its first sample on; what the job holds and uses changes nothing."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self._components = tuple(
            replace(c, source=f"replayed from {path}: {c.source}", replayed=True)
            for c in journal.components
            if c.method != "missing"
        )
        start_s = journal.samples[0].at
        self._length_s = journal.samples[-1].at - start_s
        self._readings: dict[str, list[tuple[float, Reading]]] = {}
        for sample in journal.samples:
            for reading in sample.readings:
                rows = self._readings.setdefault(reading.component, [])
                last = rows[-1][1] if rows else reading
                rows.append((sample.at - start_s, _held(last, reading)))
        self._notes = (
            f"energy is replayed from {path}, it was not measured here",
            *(f"the record says: {note}" for note in journal.notes),
        )
        self._over = False

    def components(self) -> tuple[Component, ...]:
        """Those of the record that were read there, with their methods."""
        return self._components

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """What the record says of this time after its start; its last word once it is over."""
        self._over = self._over or usage.elapsed_s > self._length_s + 1.0
        found = (self._at(c.name, usage.elapsed_s) for c in self._components)
        return tuple(reading for reading in found if reading is not None)

    def _at(self, name: str, at_s: float) -> Reading | None:
        rows = self._readings.get(name, [])
        after = bisect_right(rows, at_s, key=lambda row: row[0])
        if after == 0 or after == len(rows):
            return rows[-1][1] if rows and after else None
        (begin, old), (end, new) = rows[after - 1], rows[after]
        share = (at_s - begin) / (end - begin)
        return Reading(
            name,
            _between(old.active_j, new.active_j, share),
            _between(old.energy_j, new.energy_j, share),
            old.covered_s + share * (new.covered_s - old.covered_s),
            old.facts,
        )

    def notes(self) -> tuple[str, ...]:
        """Where it comes from, what was noted there, and whether the job outlived it."""
        if not self._over:
            return self._notes
        return (*self._notes, f"the record ends after {self._length_s:.0f} s: the rest is a gap")

    def close(self) -> None:
        """Nothing is held."""


def _held(last: Reading, reading: Reading) -> Reading:
    """A cumulative figure that fell in the record stays where it was."""
    return replace(
        reading,
        active_j=_larger(last.active_j, reading.active_j),
        energy_j=_larger(last.energy_j, reading.energy_j),
        covered_s=max(last.covered_s, reading.covered_s),
    )


def _larger(a: Triple, b: Triple) -> Triple:
    return Triple(max(a.low, b.low), max(a.value, b.value), max(a.high, b.high))


def _between(old: Triple, new: Triple, share: float) -> Triple:
    """Part of the way from one figure to a larger one, never beyond it."""
    low, value, high = (
        min(b, a + share * (b - a))
        for a, b in ((old.low, new.low), (old.value, new.value), (old.high, new.high))
    )
    return Triple(low, max(low, value), max(low, value, high))


class _Kind:
    """``path`` None: nothing is named, so there is nothing to play."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def using(self, path: str) -> _Kind:
        """The record at a path, which may begin with ``~``."""
        return _Kind(Path(path).expanduser())

    def probe(self) -> Probe:
        """Whether a record is named that can be played."""
        try:
            journal = self._record()[1]
        except OSError as e:
            return Probe(False, str(e))
        return Probe(True, f"{len(journal.samples)} samples in {self._path}")

    def open(self, scope: Scope) -> ReplayMeter:
        """The record; :class:`OSError` where it is none."""
        return ReplayMeter(*self._record())

    def _record(self) -> tuple[Path, Journal]:
        # A runner works in a folder of its own: a relative path would mean another file there.
        if self._path is None or not self._path.is_absolute():
            raise OSError(f"{USE}, found {self._path}" if self._path else USE)
        path = self._path / "journal.jsonl" if self._path.is_dir() else self._path
        journal = read(path)
        if not journal.components or not journal.samples:
            why = "; ".join(journal.notes) or "it has no samples"
            raise OSError(f"{path} cannot be replayed: {why}")
        return path, journal


KIND = _Kind()

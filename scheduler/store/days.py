"""One UTC day of one source: what is known of it, and what another answer adds to that."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from providers.series import COVER_SLACK_S, Kind, Series, from_unix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

DAY_S = 86400.0


class Word(NamedTuple):
    """Who vouches for ``[from_s, to_s)``: when the source last said it, and as what."""

    from_s: float
    to_s: float
    checked_s: float
    kind: Kind


class Merged(NamedTuple):
    """How many of the told intervals are new, say something else than before, or the same."""

    new: int = 0
    changed: int = 0
    same: int = 0

    def plus(self, other: Merged) -> Merged:
        """Both together."""
        return Merged(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class Day:
    """A stored vintage: ``series`` is all that was known at ``fetched_s``, ``words`` cover it."""

    series: Series
    words: tuple[Word, ...]
    fetched_s: float

    def pieces(self) -> Iterator[Series]:
        """The series by word: of one kind each, ``issued_at`` when its values were told."""
        for word in self.words:
            told = from_unix(min(word.checked_s, self.fetched_s))
            yield self.series.clip(word.from_s, word.to_s).told(told, word.kind)

    def with_(self, told: Series, at_s: float) -> tuple[Day, Merged]:
        """This day after another answer of its source; itself where that is nothing new."""
        states = _states(told, self)
        merged = Merged(*(int(np.count_nonzero(states == s)) for s in (_NEW, _CHANGED, _SAME)))
        words = vouch(self.words, told, at_s)
        if merged.same == len(told):
            return replace(self, words=words), merged
        fresh = _only(told, states != _SAME).fill_from(self.series)
        return Day(fresh, words, at_s), merged

    def filled(self, told: Series, at_s: float) -> Day:
        """This day with its holes filled by an earlier answer; itself where there are none."""
        words = self.words
        for low, high in self.series.gaps(float(told.starts[0]), float(told.ends[-1])):
            lacked = told.clip(low, high)
            if len(lacked):
                words = vouch(words, lacked, at_s)
        return Day(self.series.fill_from(told), words, self.fetched_s)


def first(told: Series, at_s: float) -> Day:
    """A day of which nothing was known."""
    return Day(told, vouch((), told, at_s), at_s)


def cut(series: Series) -> Iterator[tuple[int, Series]]:
    """The series by UTC day (counted from 1970-01-01), intervals cut at midnight."""
    if not len(series):
        return
    last = int(np.ceil(series.ends[-1] / DAY_S))
    for day in range(int(series.starts[0] // DAY_S), last):
        piece = series.clip(day * DAY_S, (day + 1) * DAY_S)
        if len(piece):
            yield day, piece


def dump(words: Sequence[Word]) -> str:
    """Words as JSON."""
    return json.dumps(words, separators=(",", ":"))


def load(text: str) -> tuple[Word, ...]:
    """Words from JSON."""
    return tuple(Word(*word) for word in json.loads(text))


def vouch(words: Sequence[Word], told: Series, at_s: float) -> tuple[Word, ...]:
    """The words after a source told ``told``; none becomes older than it was."""
    apart = np.flatnonzero(told.starts[1:] != told.ends[:-1])
    begin = told.starts[np.concatenate(([0], apart + 1))].tolist()
    end = told.ends[np.append(apart, len(told) - 1)].tolist()
    spans = list(zip(begin, end, strict=True))
    edges = {e for span in spans for e in span} | {e for w in words for e in (w.from_s, w.to_s)}
    made: list[Word] = []
    for low, high in pairwise(sorted(edges)):
        before = next((w for w in words if w.from_s <= low < w.to_s), None)
        if any(a <= low < b for a, b in spans):
            checked = at_s if before is None else max(at_s, before.checked_s)
            word = Word(low, high, checked, told.kind)
        elif before is not None:
            word = before._replace(from_s=low, to_s=high)
        else:
            continue
        if made and made[-1][1:] == (low, *word[2:]):
            made[-1] = made[-1]._replace(to_s=high)
        else:
            made.append(word)
    return tuple(made)


_SAME, _NEW, _CHANGED = 0, 1, 2


def _states(told: Series, day: Day) -> NDArray[np.int64]:
    """For each told interval whether the day says the same, nothing of a part, or else."""
    known = day.series
    edges = np.unique(np.concatenate((told.starts, told.ends, known.starts, known.ends)))[:-1]
    mine, theirs = _at(told, edges), _at(known, edges)
    mine, theirs = mine[mine >= 0], theirs[mine >= 0]
    kinds = np.array([word.kind for word in day.words])
    word = np.searchsorted([w.from_s for w in day.words], known.starts, side="right") - 1
    other = (
        (told.g_per_kwh[mine] != known.g_per_kwh[theirs])
        | (told.low[mine] != known.low[theirs])
        | (told.high[mine] != known.high[theirs])
        | (kinds[word[theirs]] != told.kind)
    )
    states = np.full(len(told), _SAME)
    np.maximum.at(states, mine, np.where(theirs < 0, _NEW, np.where(other, _CHANGED, _SAME)))
    return states


def _at(series: Series, moments: NDArray[np.float64]) -> NDArray[np.intp]:
    """The interval that holds each moment, -1 where none does."""
    found = np.searchsorted(series.starts, moments, side="right") - 1
    return np.where((found >= 0) & (moments < series.ends[found]), found, -1)


def _only(series: Series, keep: NDArray[np.bool_]) -> Series:
    return replace(
        series,
        starts=series.starts[keep],
        ends=series.ends[keep],
        g_per_kwh=series.g_per_kwh[keep],
        low=series.low[keep],
        high=series.high[keep],
        sources=series.sources[keep],
    )


def earliest(words: Sequence[Word], start_s: float, end_s: float) -> float | None:
    """When the oldest word on ``[start, end)`` was given; None where a part has none."""
    within = [w for w in words if w.from_s < end_s and start_s < w.to_s]
    covered = sum(min(w.to_s, end_s) - max(w.from_s, start_s) for w in within)
    if not within or covered < end_s - start_s - COVER_SLACK_S:
        return None
    return min(w.checked_s for w in within)

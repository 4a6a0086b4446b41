"""Laws of memory: what is told comes back to the digit, and the last word counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.series import Series, from_unix
from scheduler.store.forecasts import same
from scheduler.store.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from scheduler.store import Store

NOW = datetime(2026, 3, 2, tzinfo=UTC)
# Three days in steps of four hours, from a midnight on: with intervals across the others.
ZERO, STEP_S, CELLS = NOW.timestamp(), 14400, 18
SPAN = ZERO, ZERO + CELLS * STEP_S
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
plain = st.integers(0, 9999).map(lambda n: n / 10)
number = st.one_of(plain, st.floats(-1e308, 1e308), st.floats(0, 1e-300))
seconds = st.floats(-1e9, 4e9)


@st.composite
def any_series(draw: st.DrawFn) -> Series:
    """Any valid series: regular or at odd times, with holes, bands and names of any kind."""
    if draw(st.booleans()):
        first, step = draw(st.integers(0, 2**31)), draw(st.sampled_from([300, 900, 3600]))
        slots = sorted(draw(st.sets(st.integers(0, 40), max_size=25)))
        starts = np.array([first + step * n for n in slots], dtype=np.float64)
        ends = starts + step
    else:
        times = sorted(draw(st.sets(seconds, max_size=20)))
        edges = np.array(times[: len(times) // 2 * 2], dtype=np.float64)
        touching = draw(st.booleans())
        starts, ends = (edges[:-1], edges[1:]) if touching else (edges[::2], edges[1::2])
    n = len(starts)
    three = [sorted(draw(st.tuples(number, number, number))) for _ in range(n)]
    low, value, high = np.array(three, dtype=np.float64).reshape(n, 3).T
    if draw(st.booleans()):
        low = high = value
    names = [draw(st.sampled_from(["a", "Ære – μ", "b"])) for _ in range(n)]
    return Series(
        zone=draw(text),
        signal=draw(st.sampled_from(["average", "marginal"])),
        kind=draw(st.sampled_from(["forecast", "actual", "estimate"])),
        issued_at=from_unix(draw(st.integers(0, 2**51)) / 2**20),
        starts=starts,
        ends=ends,
        g_per_kwh=value,
        low=low,
        high=high,
        sources=np.array(names, dtype=np.str_),
        factors=draw(st.sampled_from([None, "direct", "lifecycle"])),
        flow=draw(st.sampled_from([None, "consumption", "production"])),
    )


@given(any_series(), st.lists(text, max_size=3).map(tuple))
def test_a_packed_series_comes_back_to_the_digit(series: Series, notes: tuple[str, ...]) -> None:
    found, said = unpack(pack(series, notes), "forecast", 7)
    assert same(found, series)
    assert (found.zone, found.issued_at, said) == (series.zone, series.issued_at, notes)


def _series(cells: dict[int, float], **fields: Any) -> Series:
    starts = ZERO + STEP_S * np.array(sorted(cells), dtype=np.float64)
    g = np.array([cells[n] for n in sorted(cells)], dtype=np.float64)
    base: dict[str, Any] = {
        "zone": "DE",
        "signal": "average",
        "kind": "forecast",
        "issued_at": NOW,
        "starts": starts,
        "ends": starts + STEP_S,
        "g_per_kwh": g,
        "low": g,
        "high": g,
        "sources": np.array(["s"] * len(g), dtype=np.str_),
    }
    return Series(**(base | fields))


def _cells(found: Series | None) -> dict[int, float]:
    """The value of each cell that is told."""
    if found is None:
        return {}
    index = np.rint((found.starts - ZERO) / STEP_S).astype(int).tolist()
    return dict(zip(index, found.g_per_kwh.tolist(), strict=True))


told = st.dictionaries(st.integers(0, CELLS - 1), plain, min_size=1, max_size=CELLS)


@settings(max_examples=40)
@given(words=st.lists(told, min_size=1, max_size=6))
def test_the_last_word_on_each_value_counts_and_the_word_before_is_kept(
    empty_store: Callable[[], AbstractContextManager[Store]], words: list[dict[int, float]]
) -> None:
    believed: list[dict[int, float]] = [{}]
    with empty_store() as store:
        for n, word in enumerate(words):
            counts = store.actuals.remember("s", _series(word), NOW + timedelta(hours=n))
            known = {k: believed[-1].get(k) for k in word}
            equal = sum(known[k] == word[k] for k in word)
            fresh = sum(was is None for was in known.values())
            assert (counts.new, counts.same) == (fresh, equal)
            assert counts.changed == len(word) - fresh - equal
            believed.append(believed[-1] | word)
        for n, cells in enumerate(believed):
            as_of = NOW + timedelta(hours=n - 1)
            assert _cells(store.actuals.known("DE", "s", *SPAN, as_of=as_of)) == cells
        assert _cells(store.actuals.known("DE", "s", *SPAN)) == believed[-1]
        (stored,) = store.actuals.stored()
        assert stored.hours == len(believed[-1]) * STEP_S / 3600
        again = store.actuals.remember("s", _series(believed[-1]), NOW + timedelta(days=9))
        assert again.same == len(believed[-1])


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, CELLS), told), min_size=1, max_size=6),
    first=st.integers(0, CELLS - 1),
    length=st.integers(1, CELLS),
)
def test_forecasts_in_force_and_last_told_are_those_of_a_plain_search(
    empty_store: Callable[[], AbstractContextManager[Store]],
    rows: list[tuple[int, dict[int, float]]],
    first: int,
    length: int,
) -> None:
    """Rows by when they were issued, in cells; of one moment the last written is the newest."""
    last = min(first + length, CELLS)
    wanted = range(first, last)
    with empty_store() as store:
        for n, (issued, cells) in enumerate(rows):
            # No two rows are alike, or the second would be none of its own.
            cells[max(cells)] += (n + 1) / 1000
            at = NOW + timedelta(seconds=issued * STEP_S)
            store.forecasts.remember("c", _series(cells, issued_at=at), at)
        low, high = ZERO + first * STEP_S, ZERO + last * STEP_S
        in_force = _cells(store.forecasts.in_force("c", "DE", low, high))
        last_told = _cells(store.forecasts.last_told("c", "DE", low, high))
    about = [
        (issued, cells)
        for issued, cells in sorted(rows, key=lambda row: row[0])
        if min(cells) < last and max(cells) >= first
    ]
    before = [cells for issued, cells in about if issued <= first]
    after = [cells for issued, cells in about if issued > first]
    order = [*before[-1:], *after, *reversed(before[:-1])]
    assert in_force == _first(order, wanted)
    by_then = [cells for issued, cells in reversed(about) if issued <= last]
    assert last_told == _first(by_then, wanted)


def _first(order: list[dict[int, float]], wanted: range) -> dict[int, float]:
    """Of each cell what the first one says that says anything."""
    said = {n: [cells[n] for cells in order if n in cells] for n in wanted}
    return {n: values[0] for n, values in said.items() if values}

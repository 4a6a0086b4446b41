"""Laws of what is stored of the grid: exact, append-only, and found as a slow reader finds it."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.series import Series
from scheduler.store import Store
from scheduler.store.days import Merged
from scheduler.store.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.series import Kind

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
SLOT_S = 1800.0
# Two midnights lie within.
SLOTS = 72
words = st.text(st.characters(exclude_characters="\0"), max_size=12)
decimals = st.builds(lambda n, k: n / 10**k, st.integers(0, 10**7), st.integers(0, 7))
values = decimals | st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0)
steps = st.sampled_from([300.0, 1800.0, 3600.0, 0.1]) | st.floats(1e-3, 1e6)


@st.composite
def any_series(draw: st.DrawFn) -> Series:
    """Any that is valid: regular or not, with holes, bands without end, many sources, or empty."""
    at, starts, ends = draw(st.floats(0, 2e9) | st.integers(0, 10**9).map(float)), [], []
    for step, count, hole in draw(
        st.lists(st.tuples(steps, st.integers(1, 9), st.floats(0, 1e5) | st.just(0.0)), max_size=4)
    ):
        for _ in range(count):
            if at < at + step:
                starts.append(at)
                ends.append(at := at + step)
        at += hole
    n = len(starts)
    g = np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=np.float64)
    told = st.lists(values | st.sampled_from([np.inf, -np.inf]), min_size=n, max_size=n)
    low, high = g, g
    if draw(st.booleans()):
        low, high = np.minimum(g, draw(told)), np.maximum(g, draw(told))
    return Series(
        zone=draw(words),
        signal=draw(st.sampled_from(["average", "marginal"])),
        kind=draw(st.sampled_from(["forecast", "actual", "estimate"])),
        issued_at=draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))).replace(  # noqa: DTZ001
            tzinfo=UTC
        ),
        starts=np.array(starts),
        ends=np.array(ends),
        g_per_kwh=g,
        low=low,
        high=high,
        sources=np.array(draw(st.lists(words, min_size=n, max_size=n)), dtype=np.str_),
        factors=draw(st.sampled_from([None, "direct", "lifecycle"])),
        flow=draw(st.sampled_from([None, "consumption", "production"])),
    )


@given(any_series(), st.lists(words, max_size=3))
def test_a_packed_series_comes_back_to_the_bit(one: Series, notes: list[str]) -> None:
    back, said = unpack(pack(one, notes))
    assert said == tuple(notes)
    for name in ("starts", "ends", "g_per_kwh", "low", "high"):
        assert getattr(back, name).tobytes() == getattr(one, name).tobytes(), name
    assert back.sources.tolist() == one.sources.tolist()
    for name in ("zone", "signal", "kind", "issued_at", "factors", "flow"):
        assert getattr(back, name) == getattr(one, name), name


@pytest.fixture(scope="module")
def opened() -> Iterator[Store]:
    """One store for all examples; each has a zone of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), NOW)
        yield store
        store.close()


zones = map("Z{}".format, itertools.count())


class Answer(NamedTuple):
    """Values from a slot on, each for ``width`` slots; ``hours`` after the one before."""

    first: int
    width: int
    told: list[int]
    kind: Kind
    hours: int

    def series(self, zone: str, issued: datetime) -> Series:
        starts = NOON + SLOT_S * (self.first + self.width * np.arange(len(self.told)))
        g = np.array(self.told, dtype=np.float64)
        ends = starts + SLOT_S * self.width
        sources = np.full(len(g), "s")
        return Series(zone, "average", self.kind, issued, starts, ends, g, g, g, sources)


def answers(kinds: tuple[str, ...]) -> st.SearchStrategy[list[Answer]]:
    one = st.builds(
        Answer,
        first=st.integers(0, SLOTS - 13),
        width=st.integers(1, 2),
        told=st.lists(st.integers(1, 3), min_size=1, max_size=6),
        kind=st.sampled_from(kinds),
        hours=st.integers(0, 5),
    )
    return st.lists(one, min_size=1, max_size=8)


spans = st.tuples(st.integers(0, SLOTS), st.integers(0, SLOTS)).map(sorted)


def by_slot(one: Series | None) -> dict[int, float]:
    """The value of each slot that is covered."""
    if one is None:
        return {}
    moments = NOON + SLOT_S * (np.arange(SLOTS) + 0.5)
    return {
        slot: float(g)
        for slot, at in enumerate(moments)
        for low, high, g in zip(one.starts, one.ends, one.g_per_kwh, strict=True)
        if low <= at < high
    }


@settings(max_examples=60)
@given(told=answers(("actual", "estimate")), span=spans)
def test_actuals_are_what_was_last_told_then_and_now(
    opened: Store, told: list[Answer], span: list[int]
) -> None:
    actuals, zone, at = opened.actuals, next(zones), NOW
    low, high = (NOON + SLOT_S * slot for slot in span)
    seen: dict[int, tuple[float, Kind]] = {}
    checked: dict[int, float] = {}
    past: list[tuple[datetime, dict[int, float]]] = []
    for answer in told:
        at += timedelta(hours=answer.hours)
        states = []
        for i, value in enumerate(answer.told):
            begin = answer.first + i * answer.width
            slots = range(begin, begin + answer.width)
            # Midnight is a slot's edge, and may lie within an interval: it is cut there.
            parts = [[s for s in slots if (s + 24) // 48 == day] for day in (0, 1, 2)]
            for part in filter(None, parts):
                said = [seen.get(slot) for slot in part]
                others = [one for one in said if one is not None and one != (value, answer.kind)]
                states.append("changed" if others else "new" if None in said else "same")
            seen |= dict.fromkeys(slots, (float(value), answer.kind))
            checked |= dict.fromkeys(slots, at.timestamp())
        merged = actuals.remember("a", answer.series(zone, at), at)
        assert merged == Merged(*(states.count(name) for name in Merged._fields))
        past.append((at, {slot: value for slot, (value, _) in seen.items()}))
    inside = range(*span)
    known = actuals.known(zone, "a", low, high)
    assert by_slot(known) == {s: seen[s][0] for s in inside if s in seen}
    if known is not None:
        estimated = any(seen[s][1] == "estimate" for s in inside if s in seen)
        assert known.kind == ("estimate" if estimated else "actual")
    whole = bool(inside) and all(s in seen for s in inside)
    sure = min(checked[s] for s in inside) if whole else None
    assert actuals.checked(zone, "a", low, high) == sure
    for moment, then in past:
        if moment == next(at for at, _ in reversed(past) if at == moment) and then is not None:
            last = next(content for at, content in reversed(past) if at == moment)
            known = actuals.known(zone, "a", NOON, NOON + SLOTS * SLOT_S, moment)
            assert by_slot(known) == last


@settings(max_examples=40)
@given(told=answers(("actual", "estimate")))
def test_pieces_and_vintages_tell_the_whole_story(opened: Store, told: list[Answer]) -> None:
    """What is exported is enough to build the same memory again."""
    actuals, zone, other, at = opened.actuals, next(zones), next(zones), NOW
    for answer in told:
        at += timedelta(hours=answer.hours)
        actuals.remember("a", answer.series(zone, at), at)
    end = NOON + SLOTS * SLOT_S
    whole = actuals.known(zone, "a", NOON, end)
    assert whole is not None
    newest = actuals.newest(zone, "a", NOON, end)
    assert [x for piece in newest for x in piece.starts] == sorted(
        x for piece in newest for x in piece.starts
    )
    assert by_slot(whole) == {s: g for piece in newest for s, g in by_slot(piece).items()}
    vintages = sorted(actuals.vintages(zone, "a", NOON, end), key=lambda one: one.issued_at)
    for one in vintages:
        actuals.remember("a", replace(one, zone=other), one.issued_at)
    for moment in {one.issued_at for one in vintages}:
        known = (actuals.known(z, "a", NOON, end, moment) for z in (zone, other))
        then, again = (by_slot(one) for one in known)
        assert then == again


def _naive_in_force(rows: list[Series], low: float, high: float) -> Series | None:
    found = [r for r in rows if r.starts[0] < high and r.ends[-1] > low]
    before = [r for r in found if r.issued_at.timestamp() <= low]
    after = [r for r in found if r.issued_at.timestamp() > low]
    result: Series | None = None
    for row in (*before[-1:], *after, *reversed(before[:-1])):
        part = row.clip(low, high)
        result = part if result is None else result.fill_from(part)
    return result


def _naive_last_told(rows: list[Series], low: float, high: float) -> dict[int, float]:
    told: dict[int, float] = {}
    for row in rows:
        issued = row.issued_at.timestamp()
        for start, end, g in zip(row.starts, row.ends, row.g_per_kwh, strict=True):
            if end >= issued:
                first, last = max(start, low), min(end, high)
                slots = range(round((first - NOON) / SLOT_S), round((last - NOON) / SLOT_S))
                told |= dict.fromkeys(slots, float(g))
    return told


@settings(max_examples=60)
@given(told=answers(("forecast",)), span=spans)
def test_forecasts_are_found_as_a_slow_reader_finds_them(
    opened: Store, told: list[Answer], span: list[int]
) -> None:
    forecasts, zone = opened.forecasts, next(zones)
    low, high = (NOON + SLOT_S * slot for slot in span)
    rows: list[Series] = []
    for answer in told:
        issued = datetime.fromtimestamp(NOON, UTC) + timedelta(hours=3 * answer.hours)
        rows.append(answer.series(zone, issued))
    rows.sort(key=lambda row: row.issued_at)
    kept: dict[int, Series] = {}
    for row in rows:
        kept.setdefault(forecasts.remember("c", row, row.issued_at), row)
    stored = list(kept.values())
    believed = forecasts.in_force("c", zone, low, high)
    naive = _naive_in_force(stored, low, high)
    assert by_slot(believed) == by_slot(naive)
    if believed is not None and naive is not None:
        assert believed.issued_at == naive.issued_at
        assert believed.ends.tolist() == naive.ends.tolist()
    last = forecasts.last_told("c", zone, low, high)
    assert by_slot(last) == _naive_last_told(stored, low, high)
    issues = forecasts.issued(NOON, NOON + 1e6, zone=zone)
    assert [(row_id, one.issued_at) for row_id, _, one in issues] == [
        (row_id, one.issued_at) for row_id, one in kept.items()
    ]

"""Laws of actuals told in pieces: never surer than their source, on steps that do not match."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.series import Series
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from providers.series import Kind

NOW = datetime(2026, 3, 3, tzinfo=UTC)
# Half hours from a noon on, over two midnights; steps of an hour may lie across them.
ZERO, SLOT_S, SLOTS = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp(), 1800.0, 72
zones = map("Z{}".format, itertools.count())


@pytest.fixture(scope="module")
def opened(empty_store: Callable[[], AbstractContextManager[Store]]) -> Iterator[Store]:
    """One store for all examples; each has a zone of its own."""
    with empty_store() as store:
        yield store


class Answer(NamedTuple):
    """Values from slot ``first`` on, each for ``width`` slots; ``hours`` after the last answer."""

    first: int
    width: int
    values: list[int]
    kind: Kind
    hours: int

    def slots(self) -> range:
        return range(self.first, self.first + self.width * len(self.values))

    def series(self, zone: str, at: datetime) -> Series:
        starts = ZERO + SLOT_S * np.arange(
            self.first, self.first + self.width * len(self.values), self.width
        )
        g = np.array(self.values, dtype=np.float64)
        ends = starts + SLOT_S * self.width
        names = np.full(len(g), "s")
        return Series(zone, "average", self.kind, at, starts, ends, g, g, g, names)


answers = st.lists(
    st.builds(
        Answer,
        first=st.integers(0, SLOTS - 12),
        width=st.integers(1, 2),
        values=st.lists(st.integers(1, 3), min_size=1, max_size=6),
        kind=st.sampled_from(["actual", "estimate"]),
        hours=st.integers(0, 5),
    ),
    min_size=1,
    max_size=8,
)
spans = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, SLOTS)).filter(lambda s: s[0] < s[1])


def by_slot(one: Series | None) -> dict[int, float]:
    """The value of each slot that is covered."""
    found: dict[int, float] = {}
    if one is not None:
        for low, high, g in zip(one.starts, one.ends, one.g_per_kwh, strict=True):
            slots = range(round((low - ZERO) / SLOT_S), round((high - ZERO) / SLOT_S))
            found |= dict.fromkeys(slots, float(g))
    return found


@settings(max_examples=100)
@given(told=answers, span=spans)
def test_the_last_word_on_each_moment_counts_and_none_is_made_surer(
    opened: Store, told: list[Answer], span: tuple[int, int]
) -> None:
    actuals, zone, at = opened.actuals, next(zones), NOW
    said: dict[int, tuple[float, Kind, float]] = {}
    then: dict[datetime, dict[int, float]] = {}
    for answer in told:
        at += timedelta(hours=answer.hours)
        actuals.remember("a", answer.series(zone, at), at)
        values = np.repeat(answer.values, answer.width).tolist()
        for slot, value in zip(answer.slots(), values, strict=True):
            said[slot] = float(value), answer.kind, at.timestamp()
        then[at] = {slot: value for slot, (value, _, _) in said.items()}
    low, high = (ZERO + SLOT_S * slot for slot in span)
    inside = [said.get(slot) for slot in range(*span)]
    known = actuals.known(zone, "a", low, high)
    assert by_slot(known) == {s: said[s][0] for s in range(*span) if s in said}
    if known is not None and known.kind == "actual":
        assert all(one is None or one[1] == "actual" for one in inside)
    checked = actuals.checked(zone, "a", low, high)
    if checked is not None:
        assert all(one is None or checked <= one[2] for one in inside)
    for moment, values in then.items():
        whole = actuals.known(zone, "a", ZERO, ZERO + SLOTS * SLOT_S, as_of=moment)
        assert by_slot(whole) == values

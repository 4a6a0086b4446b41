"""The law of packing: whatever is valid comes back, to the bit."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from providers.series import Series
from scheduler.store.packing import pack, unpack

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
    back, said = unpack(pack(one, notes), "forecast", 7)
    assert said == tuple(notes)
    for name in ("starts", "ends", "g_per_kwh", "low", "high"):
        assert getattr(back, name).tobytes() == getattr(one, name).tobytes(), name
    assert back.sources.tolist() == one.sources.tolist()
    for name in ("zone", "signal", "kind", "issued_at", "factors", "flow"):
        assert getattr(back, name) == getattr(one, name), name

"""Laws of the boards' energy, whatever a driver tells."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from providers.base import Triple
from providers.meters.nvml.counter import Counter
from providers.meters.nvml.ledger import Ledger
from providers.meters.nvml.power import UPDATE_S, Integral

CEILING_W = 600.0
READINGS = st.lists(
    st.tuples(
        st.floats(0.05, 30.0),
        st.one_of(st.none(), st.floats(0, 1e4), st.floats(0, 1e12)),
        st.booleans(),
    ),
    max_size=30,
)
SPANS = st.lists(
    st.tuples(
        st.sampled_from(["counted", "integrated"]),
        st.floats(0.0, 500.0),
        st.floats(0.1, 5.0),
        st.floats(0.0, 600.0),
        st.tuples(*[st.floats(0.0, 1.0)] * 3).map(lambda ends: Triple(*sorted(ends))),
    ),
    max_size=30,
)


@given(st.one_of(st.none(), st.floats(0, 1e4)), READINGS)
def test_a_counter_never_tells_less_than_nothing_nor_more_than_can_be_drawn(
    first: float | None, readings: list[tuple[float, float | None, bool]]
) -> None:
    counter, at, settled = Counter(0.0, first), 0.0, 0.0
    for wait, joules, draws in readings:
        at += wait
        step = counter.step(at, joules, CEILING_W, draws)
        assert 0 <= step.joules <= CEILING_W * (step.span_s + UPDATE_S) + 1e-6
        assert step.span_s >= 0
        assert step.gap_s >= 0
        settled += step.span_s + step.gap_s
        assert settled <= at + 1e-6


@given(st.floats(0.05, 1.0), st.one_of(st.none(), st.floats(0, 100)), st.floats(0.1, 1.0), SPANS)
def test_bounds_hold_the_value_and_nothing_ever_falls(
    seen: float,
    idle_w: float | None,
    part: float,
    spans: list[tuple[str, float, float, float, Triple]],
) -> None:
    ledger = Ledger(seen, idle_w, part, part == 1.0)
    told = [ledger.told()]
    for how, watts, span, power_w, own in spans:
        ledger.drew(power_w)
        if how == "counted":
            ledger.counted(watts * span, span, own)
            ledger.witness(watts * span, span, power_w * span, span)
        else:
            ledger.integrated(watts * span, span, 400.0, own)
        told.append(ledger.told())
    for before, after in pairwise(told):
        for old, new in zip(before, after, strict=True):  # a Triple is in order, or no Triple
            assert 0 <= old.low <= new.low
            assert old.value <= new.value + 1e-9
            assert old.high <= new.high
        assert after[1].value <= after[0].value + 1e-9


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-100, 1e6)), max_size=40))
def test_power_is_never_summed_over_time_that_was_not_read(
    points: list[tuple[float, float]],
) -> None:
    integral, at, forward = Integral(), 0.0, 0.0
    for step, watts in points:
        at += step
        forward += max(step, 0.0)
        integral.add([(at, watts)], CEILING_W)
    joules, seen_s = integral.take()
    assert 0 <= joules <= CEILING_W * seen_s + 1e-6
    assert seen_s <= forward + 1e-6

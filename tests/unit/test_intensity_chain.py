"""Fallbacks fill holes interval by interval, never mix signals, and are always said."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from providers.errors import BadData, NoData, ProviderError, Unavailable
from providers.intensity.chain import Chain, ChainResult
from providers.intensity.climatology import Climatology
from providers.series import (
    Factors,
    IntensityProvider,
    Kind,
    Series,
    Signal,
    SourceInfo,
    empty,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ZERO = NOW.timestamp()


@dataclass
class Hours:
    """A source that knows some hours of the day; it counts how often it was asked."""

    name: str
    known: dict[int, float] = field(default_factory=dict)
    fails: ProviderError | None = None
    signal: Signal = "average"
    shiftable: bool = True
    has_actuals: bool = False
    factors: Factors | None = None
    asked: int = 0

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(
            name=self.name,
            title=self.name,
            signal=self.signal,
            factors=self.factors,
            flow=None,
            licence="none",
            step_s=3600,
            horizon_h=None,
            has_actuals=self.has_actuals,
            shiftable=self.shiftable,
        )

    def zones(self) -> frozenset[str] | None:
        return None

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        return self._tell(zone, start, end, now, "forecast")

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        if not self.has_actuals:
            return empty(zone, self.signal, "actual", end)
        return self._tell(zone, start, end, end, "actual")

    def _tell(self, zone: str, start: datetime, end: datetime, at: datetime, kind: Kind) -> Series:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        hours = np.array(sorted(self.known), dtype=np.float64)
        values = np.array([self.known[int(h)] for h in hours], dtype=np.float64)
        starts, sources = ZERO + 3600 * hours, np.full(len(hours), self.name)
        series = Series(
            zone,
            self.signal,
            kind,
            at,
            starts,
            starts + 3600,
            values,
            values,
            values,
            sources,
            self.factors,
        )
        return series.clip(start.timestamp(), end.timestamp())


def _ask(*providers: IntensityProvider, hours: float = 4) -> ChainResult:
    return Chain(providers).forecast("DE", NOW, NOW + timedelta(hours=hours), NOW)


def _told(result: ChainResult) -> list[tuple[float, float, str]]:
    """Hour, value, source of each interval."""
    series = result.series
    hours = ((series.starts - ZERO) / 3600).tolist()
    return list(zip(hours, series.g_per_kwh.tolist(), series.sources.tolist(), strict=True))


def test_a_first_choice_that_covers_all_is_the_only_one_asked() -> None:
    second = Hours("second", dict.fromkeys(range(4), 9.0))
    result = _ask(Hours("first", dict.fromkeys(range(4), 1.0)), second)
    assert (second.asked, result.notes, result.failures) == (0, (), ())
    assert result.series.source == "first"


def test_a_hole_is_filled_by_the_next_source_and_said() -> None:
    result = _ask(Hours("first", {0: 1.0, 3: 2.0}), Hours("second", dict.fromkeys(range(9), 9.0)))
    assert _told(result) == [
        (0, 1.0, "first"),
        (1, 9.0, "second"),
        (2, 9.0, "second"),
        (3, 2.0, "first"),
    ]
    assert result.notes == (
        "first has a hole 2026-03-02T01:00Z to 2026-03-02T03:00Z: filled by second",
    )


def test_three_sources_fill_in_order_of_preference() -> None:
    third = Hours("third", dict.fromkeys(range(4), 7.0))
    result = _ask(Hours("first", {0: 1.0}), Hours("second", {0: 5.0, 1: 5.0}), third)
    assert [source for _, _, source in _told(result)] == ["first", "second", "third", "third"]
    assert len(result.notes) == 2


def test_a_source_that_fails_is_said_and_the_next_one_answers() -> None:
    broken = Hours("broken", fails=Unavailable("broken does not answer: try later"))
    result = _ask(broken, Hours("second", dict.fromkeys(range(4), 9.0)))
    assert result.series.source == "second"
    assert result.notes == ("broken does not answer: try later",)
    assert result.failures == (broken.fails,)


def test_another_signal_is_never_mixed_in() -> None:
    marginal = Hours("moer", dict.fromkeys(range(4), 900.0), signal="marginal")
    result = _ask(Hours("first", {0: 1.0}), marginal, Hours("third", {1: 3.0}))
    assert marginal.asked == 0
    assert [source for _, _, source in _told(result)] == ["first", "third"]
    assert "moer tells marginal intensity, not average: not used" in result.notes


def test_the_signal_that_counts_is_that_of_the_first_answer_not_of_the_first_name() -> None:
    broken = Hours("broken", fails=NoData("nothing"), signal="marginal")
    result = _ask(broken, Hours("second", {0: 1.0}), Hours("third", {1: 2.0}))
    assert [source for _, _, source in _told(result)] == ["second", "third"]


def test_a_flat_floor_does_not_patch_a_shaped_series() -> None:
    floor = Hours("floor", dict.fromkeys(range(4), 400.0), shiftable=False)
    result = _ask(Hours("first", {0: 1.0, 1: 2.0}), floor)
    assert _told(result) == [(0, 1.0, "first"), (1, 2.0, "first")]
    assert result.series.gaps(ZERO, ZERO + 4 * 3600) == [(ZERO + 7200, ZERO + 14400)]
    assert "floor has one value for all times and does not fill it" in result.notes[0]


def test_a_flat_floor_serves_where_nobody_else_knows_anything() -> None:
    floor = Hours("floor", dict.fromkeys(range(4), 400.0), shiftable=False)
    result = _ask(Hours("first", fails=NoData("first has no zone DE")), Hours("none"), floor)
    assert result.series.source == "floor"
    assert result.notes == ("first has no zone DE",)


def test_one_yearly_mean_of_a_source_with_hours_elsewhere_does_not_patch_a_series() -> None:
    result = Chain([Hours("first", {0: 1.0, 1: 2.0}), Climatology()]).forecast(
        "CN", NOW, NOW + timedelta(hours=4), NOW
    )
    assert _told(result) == [(0, 1.0, "first"), (1, 2.0, "first")]
    assert "mean of 2025) has one value for all times and does not fill it" in result.notes[0]


DAY = dict.fromkeys(range(24), 100.0)


def test_a_filler_on_another_basis_lends_its_shape_at_the_level_of_the_first() -> None:
    direct = Hours("direct", DAY, factors="direct")
    cycle = Hours("cycle", {h: 200.0 + h % 2 for h in range(48)}, factors="lifecycle")
    result = _ask(direct, cycle, hours=48)
    by = 100.0 / 200.5
    assert _told(result)[:24] == [(float(h), 100.0, "direct") for h in range(24)]
    assert _told(result)[24:] == [
        (h, pytest.approx((200 + h % 2) * by), "cycle (scaled)") for h in range(24, 48)
    ]
    assert result.series.factors == "direct"
    assert (
        "filled by cycle, on another basis (lifecycle, flow unknown; the rest: direct"
        in (result.notes[0])
    )
    assert "scaled by 0.499 to its level" in result.notes[0]
    assert [info.name for info in result.used] == ["direct", "cycle"]


def test_without_a_day_in_common_the_horizon_ends_where_the_basis_does() -> None:
    direct = Hours("direct", dict.fromkeys(range(23), 1.0), factors="direct")
    cycle = Hours("cycle", dict.fromkeys(range(48), 2.0), factors="lifecycle")
    result = _ask(direct, cycle, hours=48)
    assert {source for _, _, source in _told(result)} == {"direct"}
    assert "has less than 24 h in common with it and does not fill it" in result.notes[0]
    assert "no window lies there" in result.notes[-1]


def test_the_overlap_may_lie_in_the_past_where_the_first_source_keeps_actuals() -> None:
    past = dict.fromkeys(range(-48, 6), 50.0)
    first = Hours("first", past, factors="direct", has_actuals=True)
    shape = Hours("shape", dict.fromkeys(range(-48, 48), 100.0), factors="lifecycle")
    result = _ask(first, shape, hours=24)
    assert _told(result)[-1] == (23, pytest.approx(50.0), "shape (scaled)")


def test_a_scaled_tail_is_no_level_for_the_next_source() -> None:
    """What was scaled knows nothing of the level: the next source is brought to the first's."""
    first = Hours("first", DAY, factors="direct")
    second = Hours("second", dict.fromkeys(range(30), 10.0), factors="lifecycle")
    third = Hours("third", dict.fromkeys(range(48), 25.0), factors=None)
    result = _ask(first, second, third, hours=48)
    assert [source for _, _, source in _told(result)[24:]] == (
        ["second (scaled)"] * 6 + ["third (scaled)"] * 18
    )
    assert {value for _, value, _ in _told(result)} == {100.0}


def test_many_holes_are_named_by_the_first_two() -> None:
    first = Hours("first", dict.fromkeys(range(0, 12, 2), 1.0))
    result = _ask(first, Hours("second", dict.fromkeys(range(12), 9.0)), hours=12)
    assert "T03:00Z to 2026-03-02T04:00Z and 4 more: filled by second" in result.notes[0]


def test_with_every_source_failing_the_series_is_empty_and_the_gravest_error_leads() -> None:
    result = _ask(
        Hours("a", fails=Unavailable("a is down")),
        Hours("b", fails=BadData("b, row 7: wrong")),
        Hours("c", fails=NoData("c has no zone")),
        Hours("d", fails=NoData("c has no zone")),
    )
    assert len(result.series) == 0
    error = result.error()
    assert type(error) is BadData
    assert str(error) == "a is down; b, row 7: wrong; c has no zone"


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ((Unavailable("x"), NoData("y")), NoData),
        ((Unavailable("x"),), Unavailable),
        ((ProviderError("x"),), ProviderError),
    ],
)
def test_the_error_takes_the_gravest_class(
    failures: tuple[ProviderError, ...], kind: type[ProviderError]
) -> None:
    nothing = empty("DE", "average", "forecast", NOW)
    assert type(ChainResult(nothing, failures=failures).error()) is kind


def test_no_failure_is_no_error() -> None:
    assert _ask(Hours("none")).error() is None


def test_actuals_come_only_from_sources_that_keep_them() -> None:
    guess = Hours("guess", dict.fromkeys(range(4), 9.0))
    meter = Hours("meter", {0: 1.0, 1: 2.0}, has_actuals=True)
    chain = Chain([guess, meter])
    assert chain.has_actuals
    result = chain.actual("DE", NOW, NOW + timedelta(hours=4))
    assert guess.asked == 0
    assert (_told(result), result.series.kind) == (
        [(0, 1.0, "meter"), (1, 2.0, "meter")],
        "actual",
    )


def test_a_chain_without_actuals_says_so_and_has_none() -> None:
    chain = Chain([Hours("guess", {0: 1.0})])
    assert not chain.has_actuals
    assert len(chain.actual("DE", NOW, NOW + timedelta(hours=1)).series) == 0


def test_a_naive_time_is_refused() -> None:
    naive = datetime(2026, 3, 2)  # noqa: DTZ001 - a naive time is the claim
    with pytest.raises(ValueError, match="no offset"):
        Chain([Hours("first", {0: 1.0})]).forecast("DE", naive, naive, NOW)

"""Energy-Charts: whole countries of Europe."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from support import play_energy_charts
from support.clock import NOW
from support.mutations import check_sound, mutated
from support.samples import sample_files
from support.server import Asked, Play, Reply, SourceServer

from providers.errors import BadData, NoData
from providers.intensity.energy_charts import (
    EnergyCharts,
    Settings,
    Told,
    build,
    points_of,
    query,
    windows,
)
from providers.intensity.points import series_of
from providers.series import Series
from providers.surroundings import Surroundings

INFO = EnergyCharts(Settings(), Surroundings.at(Path())).info
Built = tuple[EnergyCharts, SourceServer]
T0 = 1783893600


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def body_of(times: Any, measured: Any, expected: Any) -> dict[str, Any]:
    return {
        "unix_seconds": times,
        "co2eq": measured,
        "co2eq_forecast": expected,
        "deprecated": False,
    }


def spaced(*minutes: int) -> dict[str, Any]:
    """A measured value at each of these minutes."""
    return body_of([T0 + 60 * m for m in minutes], [400.0] * len(minutes), [None] * len(minutes))


def parsed(body: Any, told: Told = "forecast") -> Series:
    return series_of(INFO, "DE", "forecast", NOW, points_of(body, told))


def lengths(body: Any) -> list[float]:
    series = parsed(body)
    return [float(s) / 60 for s in series.ends - series.starts]


BODY = body_of(
    [T0 + 900 * i for i in range(5)],
    [491.5, 497.4, 502.6, None, None],
    [None, None, None, 505.0, 508.0],
)


@pytest.fixture
def charts(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Built:
    server = serve(play_energy_charts.play)
    settings = {"base_url": server.url, "call_every_s": 0.001}
    return build(settings, Surroundings.at(tmp_path)), server


def test_a_call_names_the_country_and_times_in_utc() -> None:
    start = datetime.fromisoformat("2026-07-01T00:00+02:00")
    assert query("de", start, start + timedelta(days=1)) == {
        "country": "de",
        "start": "2026-06-30T22:00Z",
        "end": "2026-07-01T22:00Z",
    }


def test_whole_days_are_asked_for_that_end_before_any_country_s_next_day() -> None:
    day = timedelta(days=1)
    assert list(windows(at("2026-03-02T08:20"), at("2026-03-03T03:00"), day)) == [
        (at("2026-03-01T21:00"), at("2026-03-02T21:00")),
        (at("2026-03-02T21:00"), at("2026-03-03T21:00")),
    ]
    exact = (at("2026-03-01T21:00"), at("2026-03-02T21:00"))
    assert list(windows(*exact, day)) == [exact]
    assert list(windows(exact[0], at("2026-03-21T20:00"), 30 * day)) == [
        (exact[0], at("2026-03-21T21:00"))
    ]


def test_measured_and_expected_values_stand_side_by_side() -> None:
    assert parsed(BODY).g_per_kwh.tolist() == [491.5, 497.4, 502.6, 505, 508]
    assert parsed(BODY, "actual").g_per_kwh.tolist() == [491.5, 497.4, 502.6]


def test_where_both_are_told_the_forecast_is_the_expected_one() -> None:
    body = body_of([T0, T0 + 900], [400.0, 0.0], [410.0, None])
    assert parsed(body).g_per_kwh.tolist() == [410, 0]
    assert parsed(body, "actual").g_per_kwh.tolist() == [400, 0]


def test_trailing_nulls_are_a_gap() -> None:
    body = body_of([T0, T0 + 900, T0 + 1800], [400.0, None, None], [None, 410.0, None])
    assert parsed(body).ends[-1] == T0 + 1800


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ((0,), [15]),
        ((0, 15), [15, 15]),
        ((0, 60, 120), [60, 60, 60]),
        # One quarter, then two hours are missing; also at either end.
        ((0, 15, 45, 60), [15, 15, 15, 15]),
        ((0, 15, 150, 165), [15, 15, 15, 15]),
        ((0, 30, 45, 60), [15, 15, 15, 15]),
        ((0, 15, 30, 60), [15, 15, 15, 15]),
        # The step changes, in either direction.
        ((0, 60, 120, 135, 150), [60, 60, 15, 15, 15]),
        ((0, 15, 30, 90, 150), [15, 15, 60, 60, 60]),
        # Too far apart to be a step at all.
        ((0, 1440), [60, 60]),
    ],
)
def test_the_step_is_the_spacing_and_a_hole_is_no_long_interval(
    minutes: tuple[int, ...], expected: list[float]
) -> None:
    assert lengths(spaced(*minutes)) == expected
    assert lengths(spaced(*reversed(minutes))) == expected
    assert lengths(spaced(*minutes, *minutes)) == expected


def test_of_a_time_listed_twice_a_value_counts_more_than_none() -> None:
    body = body_of([T0, T0 + 900, T0], [None, 410.0, 400.0], [None] * 3)
    assert parsed(body).g_per_kwh.tolist() == [400, 410]


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_a_day_of_the_clock_change_has_its_quarters(day: str, hours: int, charts: Built) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    series = charts[0].actual("DE", start, start + timedelta(days=1))
    assert len(series) == 4 * hours
    assert not series.gaps(start.timestamp(), start.timestamp() + hours * 3600)


def test_history_comes_in_pieces(charts: Built) -> None:
    source, server = charts
    start, end = at("2025-12-01T00:10"), at("2026-02-28")
    series = source.actual("DE", start, end)
    assert [a.query["start"] for a in server.asked] == [
        "2025-11-30T21:00Z",
        "2025-12-30T21:00Z",
        "2026-01-29T21:00Z",
    ]
    assert not series.gaps(start.timestamp(), end.timestamp())
    assert (series.starts[0], series.ends[-1]) == (start.timestamp(), end.timestamp())


def test_no_time_asked_is_no_call(charts: Built) -> None:
    source, server = charts
    assert len(source.actual("DE", NOW, NOW)) == 0
    assert not server.asked


def test_a_forecast_ends_with_the_day_and_that_is_no_error(charts: Built) -> None:
    source, server = charts
    series = source.forecast("DE", NOW, NOW + timedelta(days=4), NOW)
    assert series.ends[-1] == at("2026-03-02T23:00").timestamp()
    assert not series.gaps(NOW.timestamp(), series.ends[-1])
    # Today, tomorrow, and the first day that is not published.
    assert [a.query["start"] for a in server.asked] == [
        "2026-03-01T21:00Z",
        "2026-03-02T21:00Z",
        "2026-03-03T21:00Z",
    ]
    later = NOW + timedelta(days=2)
    assert len(source.forecast("DE", later, later + timedelta(hours=1), NOW)) == 0


def test_it_holds_too_where_a_part_that_is_unpublished_spoils_the_whole(charts: Built) -> None:
    source, server = charts

    def strict(asked: Asked) -> Reply:
        if datetime.fromisoformat(asked.query["end"]) > play_energy_charts.published_until():
            return Reply('{"detail":"no content"}', 404)
        return play_energy_charts.play(asked)

    server.play = strict
    series = source.forecast("DE", NOW, NOW + timedelta(days=1), NOW)
    assert series.ends[-1] >= at("2026-03-02T21:00").timestamp()


def test_a_piece_of_history_that_is_not_there_is_a_hole(charts: Built) -> None:
    source, server = charts

    def young(asked: Asked) -> Reply:
        if asked.query["start"] < "2026":
            return Reply('{"detail":"no content"}', 404)
        return play_energy_charts.play(asked)

    server.play = young
    series = source.actual("DE", at("2025-12-01"), at("2026-02-01"))
    assert series.starts[0] == at("2026-01-29T21:00").timestamp()
    with pytest.raises(NoData):
        source.actual("DE", at("2025-11-01"), at("2025-12-01"))


def test_a_country_that_it_refuses_is_no_data(charts: Built) -> None:
    source, server = charts
    hour = timedelta(hours=1)
    with pytest.raises(NoData, match="is not the code for an available country"):
        source.forecast("country/xx", NOW, NOW + hour, NOW)
    with pytest.raises(NoData, match="is not the code for an available country"):
        source.actual("country/xx", NOW - hour, NOW)
    assert {asked.query["country"] for asked in server.asked} == {"xx"}


def test_a_part_of_a_country_is_no_data_unless_the_country_is_asked_for(charts: Built) -> None:
    source, server = charts
    hour = (NOW, NOW + timedelta(hours=1), NOW)
    with pytest.raises(NoData, match="knows SE as a whole, whose production is not that of a part"):
        source.forecast("SE-SE3", *hour)
    for zone in ("US-CAL-CISO", "JP", "se", "country/", "country/SE", "country/se?x=1", ""):
        with pytest.raises(NoData, match="has no zone"):
            source.forecast(zone, *hour)
    assert not server.asked
    assert len(source.forecast("country/se", *hour)) == 5
    assert server.asked[0].query["country"] == "se"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "an object"),
        ({"detail": "no"}, "a key 'unix_seconds'"),
        ({"unix_seconds": [], "co2eq": []}, "a key 'co2eq_forecast'"),
        (body_of(None, [], []), "a list"),
        (body_of([T0], {}, [None]), "a list"),
        (body_of([T0], [1.0, 2.0], [None]), "of unix_seconds"),
        (body_of([T0], [1.0], []), "of unix_seconds"),
        (body_of([None], [1.0], [None]), "a time in Unix seconds"),
        (body_of(["2026-03-02"], [1.0], [None]), "a number"),
        (body_of([T0 * 1000], [1.0], [None]), "a time in Unix seconds"),
        (body_of([T0], ["491.5"], [None]), "a number"),
        (body_of([T0], [True], [None]), "a number"),
        (body_of([T0], [-1.0], [None]), "no grid emits"),
        (body_of([T0], [491500], [None]), "no grid emits"),
    ],
)
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


@given(mutated(BODY))
def test_a_body_gone_wrong_gives_its_own_numbers_or_an_error(body: Any) -> None:
    check_sound(body, parsed)
    check_sound(body, lambda b: parsed(b, "actual"))


def test_recorded_answers_are_read() -> None:
    for path in sample_files("energy_charts"):
        assert len(parsed(json.loads(path.read_text()))) > 0, path.name

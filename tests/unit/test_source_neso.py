"""NESO: Great Britain, its regions and postcodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import play_neso
from support.clock import NOW
from support.mutations import check_sound, mutated
from support.samples import sample_files
from support.server import Play, Reply, SourceServer

from providers.errors import BadData, NoData
from providers.intensity.neso import (
    Neso,
    Settings,
    Told,
    build,
    forecast_paths,
    place_of,
    points_of,
    range_paths,
)
from providers.intensity.points import series_of
from providers.series import Series
from providers.surroundings import Surroundings

INFO = Neso(Settings(), Surroundings.at(Path())).info
DAYS13 = timedelta(days=13)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def period(start: str, forecast: Any = 200, actual: Any = 190) -> dict[str, Any]:
    begin = at(start)
    return {
        "from": f"{begin:%Y-%m-%dT%H:%MZ}",
        "to": f"{begin + timedelta(minutes=30):%Y-%m-%dT%H:%MZ}",
        "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
    }


def regional(*periods: dict[str, Any]) -> dict[str, Any]:
    for p in periods:
        del p["intensity"]["actual"]
    return {"regionid": 13, "shortname": "London", "data": list(periods)}


def parsed(body: Any, told: Told = "forecast") -> Series:
    return series_of(INFO, "GB", "forecast", NOW, points_of(body, told))


BODY = {
    "data": [
        period("2026-03-02T07:30"),
        period("2026-03-02T08:00", 210, None),
        period("2026-03-02T08:30", None, None),
    ]
}
REGIONAL = {"data": regional(period("2026-03-02T08:00"), period("2026-03-02T08:30", 150))}


@pytest.fixture
def neso(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Callable[[Play], Any]:
    def make(play: Play) -> tuple[Neso, SourceServer]:
        server = serve(play)
        settings = {"base_url": f"{server.url}/", "call_every_s": 0.001}
        return build(settings, Surroundings.at(tmp_path)), server

    return make


@pytest.mark.parametrize(
    ("zone", "place"),
    [
        ("GB", ""),
        ("regionid/13", "/regionid/13"),
        ("england", "/regionid/15"),
        ("Scotland", "/regionid/16"),
        ("wales", "/regionid/17"),
        ("RG10", "/postcode/RG10"),
        ("postcode/ec1v", "/postcode/EC1V"),
        ("M1", "/postcode/M1"),
    ],
)
def test_zones_by_all_their_names(zone: str, place: str) -> None:
    assert place_of(zone) == place


@pytest.mark.parametrize(
    "zone",
    ["DE", "GB-NIR", "GB-13", "regionid/18", "regionid/0", "regionid/x", "regionid/¹",
     "RG10 4AB", "postcode/", "DK-DK1", "", "/", "RG10/../x", "England/x"],
)  # fmt: skip
def test_other_zones_are_no_data(zone: str) -> None:
    with pytest.raises(NoData, match="has no zone"):
        place_of(zone)


def test_history_is_asked_in_pieces_of_13_days_to_whole_half_hours() -> None:
    asked = list(range_paths("", at("2026-01-01T00:07"), at("2026-02-01T00:01"), DAYS13))
    assert asked == [
        "/intensity/2026-01-01T00:00Z/2026-01-14T00:00Z",
        "/intensity/2026-01-14T00:00Z/2026-01-27T00:00Z",
        "/intensity/2026-01-27T00:00Z/2026-02-01T00:30Z",
    ]


def test_times_of_other_offsets_are_asked_in_utc() -> None:
    start = datetime.fromisoformat("2026-07-01T01:10+01:00")
    (asked,) = range_paths("", start, start + timedelta(hours=1), DAYS13)
    assert asked == "/intensity/2026-07-01T00:00Z/2026-07-01T01:30Z"


def test_a_forecast_has_one_address_whatever_the_deadline() -> None:
    now = at("2026-03-02T08:20")
    ends = (now + timedelta(hours=h) for h in (1, 30, 400))
    asked = {tuple(forecast_paths("", now, end, now, DAYS13)) for end in ends}
    assert asked == {("/intensity/2026-03-02T08:00Z/fw48h",)}


def test_a_forecast_from_the_past_asks_for_that_too() -> None:
    now = at("2026-03-02T08:20")
    asked = list(forecast_paths("/postcode/RG10", at("2026-03-02T05:10"), now, now, DAYS13))
    assert asked == [
        "/regional/intensity/2026-03-02T05:00Z/2026-03-02T08:00Z/postcode/RG10",
        "/regional/intensity/2026-03-02T08:00Z/fw48h/postcode/RG10",
    ]
    assert len(list(forecast_paths("", at("2026-03-01"), at("2026-03-02"), now, DAYS13))) == 1


def test_the_expected_value_counts_and_null_is_a_gap() -> None:
    series = parsed(BODY)
    assert series.g_per_kwh.tolist() == [200, 210]
    assert series.ends[-1] == at("2026-03-02T08:30").timestamp()
    assert parsed(BODY, "actual").g_per_kwh.tolist() == [190]


def test_where_there_is_no_forecast_left_the_measured_value_stands() -> None:
    body = {"data": [period("2026-03-02T07:30", None, 190), period("2026-03-02T08:00", 0, 190)]}
    assert parsed(body).g_per_kwh.tolist() == [190, 0]


def test_both_nestings_of_a_region_are_read() -> None:
    inside = REGIONAL["data"]
    assert parsed({"data": [inside]}).g_per_kwh.tolist() == [200, 150]
    assert parsed({"data": inside}).g_per_kwh.tolist() == [200, 150]


def test_doubled_unsorted_half_hours_are_put_in_order_and_the_last_word_counts() -> None:
    body = {
        "data": [
            period("2021-04-19T19:30", 130),
            period("2021-04-19T19:00", 120),
            period("2021-04-19T19:00", 125),
            period("2021-04-19T20:30", 140),
        ]
    }
    series = parsed(body)
    assert series.g_per_kwh.tolist() == [125, 130, 140]
    assert series.gaps(series.starts[0], series.ends[-1]) == [
        (at("2021-04-19T20:00").timestamp(), at("2021-04-19T20:30").timestamp())
    ]


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_a_day_of_the_clock_change_has_its_half_hours(
    day: str, hours: int, neso: Callable[..., Any]
) -> None:
    source, _ = neso(play_neso.play)
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/London"))
    series = source.actual("GB", start, start + timedelta(days=1))
    assert len(series) == 2 * hours
    assert not series.gaps(start.timestamp(), start.timestamp() + hours * 3600)


def test_the_half_hour_before_the_boundary_is_cut_off(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    start, end = at("2026-03-01T06:00"), at("2026-03-01T08:00")
    series = source.actual("GB", start, end)
    assert json.loads(play_neso.play(server.asked[0]).body)["data"][0]["from"].endswith("05:30Z")
    assert (series.starts[0], series.ends[-1]) == (start.timestamp(), end.timestamp())
    assert len(series) == 4
    assert series.kind == "actual"


def test_a_year_of_history_is_one_series(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    start, end = at("2025-02-01"), at("2026-02-01")
    series = source.actual("GB", start, end)
    assert len(series) == 365 * 48
    assert not series.gaps(start.timestamp(), end.timestamp())
    assert len(server.asked) == 29


def test_a_region_has_no_actuals_and_its_source_says_so(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    series = source.actual("regionid/13", at("2026-03-01T06:00"), at("2026-03-01T08:00"))
    assert series.kind == "estimate"
    assert series.source == "NESO regional (last forecast, no actuals)"
    assert server.asked[0].path.startswith("/regional/intensity/")
    expected = source.forecast("RG10", NOW, NOW + timedelta(hours=4), NOW)
    assert (expected.kind, expected.source, expected.zone) == ("forecast", "NESO regional", "RG10")


def test_it_reaches_48_hours_and_no_further(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    series = source.forecast("GB", NOW, NOW + timedelta(days=5), NOW)
    assert series.ends[-1] == at("2026-03-04T08:00").timestamp()
    assert len(server.asked) == 1
    far = NOW + timedelta(hours=48)
    assert len(source.forecast("GB", far, far + timedelta(hours=1), NOW)) == 0
    assert len(server.asked) == 1


def test_a_range_that_is_refused_is_no_data_in_its_own_words(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    source._longest = timedelta(days=20)
    with pytest.raises(NoData, match="limited to 14 days"):
        source.actual("GB", at("2026-01-01"), at("2026-02-01"))
    server.play = lambda _: Reply("{}")
    with pytest.raises(BadData, match="a key 'data'"):
        source.actual("ZZ9", at("2026-02-01"), at("2026-02-02"))


def test_no_time_asked_is_no_call(neso: Callable[..., Any]) -> None:
    source, server = neso(play_neso.play)
    assert len(source.actual("GB", NOW, NOW)) == 0
    assert len(source.forecast("GB", NOW, NOW, NOW)) == 0
    assert not server.asked


def with_period(**fields: Any) -> dict[str, Any]:
    return {"data": [period("2026-03-02T08:00") | fields]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "an object"),
        ({}, "a key 'data'"),
        ({"error": {"code": "500", "message": "no"}}, "a key 'data'"),
        ({"data": None}, "a list"),
        ({"data": "maintenance\n" * 9}, "a list"),
        ({"data": {"regionid": 1}}, "a key 'data'"),
        ({"data": [regional(), regional()]}, "a key 'from'"),
        (with_period(to="2026-03-02T08:00Z"), "a half hour"),
        (with_period(to="2026-03-03T08:00Z"), "a half hour"),
        (with_period(to="2026-03-02T08:30"), "with its offset"),
        (with_period(to=1772440200), "ISO 8601"),
        (with_period(to="0001-01-01T00:00Z"), "ISO 8601"),
        (with_period(intensity=None), "an object"),
        (with_period(intensity={"forecast": 10**400}), "a number"),
        (with_period(intensity={"actual": 100}), "a key 'forecast'"),
        (with_period(intensity={"forecast": "100"}), "a number"),
        (with_period(intensity={"forecast": True}), "a number"),
        (with_period(intensity={"forecast": -5}), "no grid emits"),
        (with_period(intensity={"forecast": 250000}), "no grid emits"),
        ({"data": [period("2026-03-02T08:00"), period("2026-03-02T08:15")]}, "overlap"),
    ],
)
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


def test_an_actual_is_never_the_forecast() -> None:
    with pytest.raises(BadData, match="a key 'actual'"):
        parsed(REGIONAL, "actual")


@given(st.sampled_from([BODY, REGIONAL, {"data": [REGIONAL["data"]]}]).flatmap(mutated))
def test_a_body_gone_wrong_gives_its_own_numbers_or_an_error(body: Any) -> None:
    for told in ("forecast", "actual"):
        check_sound(body, lambda b, told=told: parsed(b, told))


def test_recorded_answers_are_read() -> None:
    for path in sample_files("uk_neso"):
        series = parsed(json.loads(path.read_text()))
        assert len(series) > 0, path.name
        if path.name.startswith("national"):
            assert len(parsed(json.loads(path.read_text()), "actual")) in (0, 2)

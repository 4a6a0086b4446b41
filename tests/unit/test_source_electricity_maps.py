"""Electricity Maps: tokens and plans, sandbox, foreign zones, gaps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import play_electricity_maps
from support.clock import NOW
from support.keyed import at, check_silent, with_keys
from support.mutations import check_sound, mutated
from support.play_electricity_maps import TOKEN, entry, playing
from support.samples import sample_files
from support.server import Asked, Play, Reply, SourceServer

from providers.errors import AccessDenied, BadData, NoData
from providers.intensity.electricity_maps import (
    ElectricityMaps,
    Settings,
    build,
    common,
    points_of,
    ranges,
)
from providers.intensity.points import series_of
from providers.series import Factors, Kind, Series
from providers.surroundings import Surroundings

INFO = ElectricityMaps(Settings(), Surroundings.at(Path())).info
HOUR = timedelta(hours=1)
VARIABLE = "ELECTRICITY_MAPS_TOKEN"
Built = tuple[ElectricityMaps, SourceServer]


def parsed(
    body: Any, kind: Kind = "actual", zone: str = "DE", factors: Factors = "lifecycle"
) -> Series:
    points = [point for _, point in points_of(body, zone, kind, factors)]
    return series_of(INFO, zone, kind, NOW, points)


def hours(*starts: str, **fields: Any) -> list[dict[str, Any]]:
    return [entry("DE", at(start), **fields) for start in starts]


HISTORY = {"zone": "DE", "history": hours("2026-03-02T06:00", "2026-03-02T07:00")}
FORECAST = {
    "zone": "DE",
    "forecast": [
        {"carbonIntensity": 326, "datetime": "2026-03-02T08:00:00.000Z"},
        {"carbonIntensity": 297.5, "datetime": "2026-03-02T09:00:00.000Z"},
        {"carbonIntensity": None, "datetime": "2026-03-02T10:00:00.000Z"},
    ],
    "updatedAt": "2026-03-02T07:32:21.002Z",
}


@pytest.fixture
def maps(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Callable[..., Built]:
    def make(play: Play = play_electricity_maps.play, key: str = TOKEN, **given: Any) -> Built:
        server = serve(play)
        url = {"base_url": f"{server.url}/v4/", "ttl_s": 0, "calls_per_hour": 10**6}
        return build(url | given, with_keys(tmp_path, {VARIABLE: key})), server

    return make


def test_every_question_keeps_the_callers_own_place_out() -> None:
    new = common("DE", "direct", "https://api.electricitymaps.com/v4")
    assert new["disableCallerLookup"] == "true"
    assert (new["zone"], new["emissionFactorType"]) == ("DE", "direct")
    old = common("DE", "direct", "https://api.electricitymap.org/v3")
    assert old["shouldUseFallbackCallerLookup"] == "false"
    assert old["disableCallerLookup"] == "true"


def test_ranges_are_ten_days_of_whole_hours_from_midnight() -> None:
    assert list(ranges(at("2026-01-01T05:10"), at("2026-01-22T03:01"))) == [
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-11T00:00:00Z"},
        {"start": "2026-01-11T00:00:00Z", "end": "2026-01-21T00:00:00Z"},
        {"start": "2026-01-21T00:00:00Z", "end": "2026-01-22T04:00:00Z"},
    ]
    assert list(ranges(NOW, NOW)) == []


@given(st.integers(0, 10**8), st.integers(1, 10**7))
def test_ranges_join_and_cover(ago_s: int, seconds: int) -> None:
    first = NOW - timedelta(seconds=ago_s)
    last = first + timedelta(seconds=seconds)
    spans = [(at(str(s["start"])[:-1]), at(str(s["end"])[:-1])) for s in ranges(first, last)]
    assert spans[0][0] <= first
    assert spans[-1][1] >= last
    assert all(b - a <= timedelta(days=10) for a, b in spans)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_what_was_and_what_is_expected_are_never_taken_for_each_other() -> None:
    assert parsed(HISTORY).g_per_kwh.tolist() == [r["carbonIntensity"] for r in HISTORY["history"]]
    assert parsed(FORECAST, "forecast").g_per_kwh.tolist() == [326, 297.5]
    with pytest.raises(BadData, match="a key 'forecast'"):
        parsed(HISTORY, "forecast")
    with pytest.raises(BadData, match="a key 'datetime'"):
        parsed(FORECAST, "actual")


def test_the_latest_hour_stands_alone() -> None:
    body = entry("DE", at("2026-03-02T07:00"))
    assert parsed(body).ends[0] == at("2026-03-02T08:00").timestamp()
    assert parsed(body | {"temporalGranularity": "15_minutes", "flowTraced": True}).ends[0] == (
        at("2026-03-02T07:15").timestamp()
    )


def test_a_hole_stays_a_hole_and_the_last_word_counts() -> None:
    rows = hours("2026-03-02T06:00", "2026-03-02T03:00", "2026-03-02T02:00")
    series = parsed({"zone": "DE", "data": [*rows, rows[0] | {"carbonIntensity": 7}]})
    assert series.g_per_kwh.tolist()[-1] == 7
    assert series.gaps(series.starts[0], series.ends[-1]) == [
        (at("2026-03-02T04:00").timestamp(), at("2026-03-02T06:00").timestamp())
    ]
    far = parsed({"zone": "DE", "data": hours("2026-03-02T02:00", "2026-03-02T06:00")})
    assert far.ends[0] - far.starts[0] == 3600


def test_quarters_are_quarters() -> None:
    rows = hours("2026-03-02T06:00", "2026-03-02T06:15", "2026-03-02T07:00")
    assert set((parsed({"zone": "DE", "data": rows}).ends - parsed({"zone": "DE", "data": rows})
                .starts).tolist()) == {900.0}  # fmt: skip
    rows = hours("2026-03-02T06:00", "2026-03-02T06:07")
    with pytest.raises(BadData, match="5, 15 or 60 minutes"):
        parsed({"zone": "DE", "data": rows})


@pytest.mark.parametrize(
    "body",
    [
        {"zone": "DE", "history": hours("2026-03-02T06:00", estimationMethod="SANDBOX_MODE_DATA")},
        HISTORY | {"_disclaimer": "This data is from our SANDBOX MODE and not accurate"},
        FORECAST | {"meta": [[{"deep": "sandbox_mode_data"}]]},
        {"zone": "FR", "mix": {"estimationMethod": "SANDBOX_MODE_DATA"}},
    ],
)
def test_sandbox_data_are_refused_by_name(body: Any) -> None:
    with pytest.raises(BadData, match=r"SANDBOX_MODE_DATA: .* invented"):
        parsed(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "an object"),
        ({}, "a key 'zone'"),
        (HISTORY | {"zone": "FR"}, "zone 'FR' where DE, which was asked for"),
        ({"zone": "FR", "data": []}, "zone 'FR' where DE, which was asked for"),
        ({"zone": "DE", "data": [entry("FR", NOW)]}, "zone 'FR' where DE"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", emissionFactorType="direct")},
         "emissionFactorType 'direct'"),
        (HISTORY | {"flowTraced": False}, "flowTraced False"),
        (HISTORY | {"temporalGranularity": "daily"}, "one of 5_minutes"),
        (HISTORY | {"temporalGranularity": ["hourly"]}, "one of 5_minutes"),
        ({"zone": "DE", "history": {}}, "a list"),
        ({"zone": "DE", "data": [1]}, "an object"),
        ({"zone": "DE", "data": [{"datetime": "2026-03-02T06:00:00.000Z"}]}, "carbonIntensity"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", datetime="2026-03-02T06:00")}, "offset"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", carbonIntensity="300")}, "a number"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", carbonIntensity=True)}, "a number"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", carbonIntensity=-1)}, "no grid emits"),
        ({"zone": "DE", "data": hours("2026-03-02T06:00", carbonIntensity=3e5)}, "no grid emits"),
    ],
)  # fmt: skip
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


def test_an_error_in_a_body_of_status_200_is_no_data() -> None:
    with pytest.raises(NoData, match="No recent data"):
        parsed({"error": "No recent data\nfor zone DE"})


@given(st.sampled_from([HISTORY, FORECAST, entry("DE", NOW)]).flatmap(mutated))
def test_a_body_gone_wrong_gives_its_own_numbers_or_an_error(body: Any) -> None:
    check_sound(body, parsed)
    check_sound(body, lambda b: parsed(b, "forecast"))


def test_estimated_hours_say_so_and_give_way(maps: Callable[..., Built]) -> None:
    source, server = maps()
    first = at("2026-03-02T06:00")
    rows = [
        entry("DE", first, carbonIntensity=1, isEstimated=True),
        entry("DE", first, carbonIntensity=2),
        entry("DE", first + HOUR, carbonIntensity=3, isEstimated=True),
    ]
    server.play = lambda _: Reply(json.dumps({"zone": "DE", "data": rows}))
    series = source.actual("DE", first, first + 2 * HOUR)
    assert series.g_per_kwh.tolist() == [2, 3]
    assert series.sources.tolist() == ["Electricity Maps", "Electricity Maps (estimated)"]


def test_a_forecast_begins_with_the_current_hour(maps: Callable[..., Built]) -> None:
    source, server = maps()
    series = source.forecast("DE", NOW - 5 * HOUR, NOW + timedelta(days=4), NOW)
    assert series.starts[0] == at("2026-03-02T08:00").timestamp()
    assert series.ends[-1] == at("2026-03-03T09:00").timestamp()
    assert server.asked[0].path == "/v4/carbon-intensity/forecast"
    assert server.asked[0].query["horizonHours"] == "24"
    assert len(source.forecast("DE", NOW + 30 * HOUR, NOW + 31 * HOUR, NOW)) == 0
    assert len(server.asked) == 1


def test_a_plan_that_reaches_less_is_told_what_to_set(maps: Callable[..., Built]) -> None:
    source, _ = maps(horizon_hours=72)
    with pytest.raises(AccessDenied, match=r"72 h: set horizon_hours to what the plan has"):
        source.forecast("DE", NOW, NOW + HOUR, NOW)
    source, server = maps(horizon_hours=0)
    assert source.info.horizon_h == 0
    with pytest.raises(NoData, match="no forecast of DE on this plan"):
        source.forecast("DE", NOW, NOW + HOUR, NOW)
    assert not server.asked


def test_a_year_of_history_is_one_series_in_37_calls(maps: Callable[..., Built]) -> None:
    source, server = maps()
    start, end = at("2025-02-01"), at("2026-02-01")
    series = source.actual("DE", start, end)
    assert len(series) == 365 * 24
    assert not series.gaps(start.timestamp(), end.timestamp())
    assert len(server.asked) == 37


@pytest.mark.parametrize(("day", "count"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_a_day_of_the_clock_change_has_its_hours(
    day: str, count: int, maps: Callable[..., Built]
) -> None:
    source, _ = maps()
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    series = source.actual("DE", start, start + timedelta(days=1))
    assert len(series) == count
    assert not series.gaps(start.timestamp(), start.timestamp() + count * 3600)


def test_without_ranges_the_last_day_is_told_and_no_more(maps: Callable[..., Built]) -> None:
    source, server = maps(playing(past_range=False))
    series = source.actual("DE", NOW - 4 * HOUR, NOW)
    assert len(series) == 5
    assert [a.path.rpartition("/")[2] for a in server.asked] == ["past-range", "history"]
    with pytest.raises(AccessDenied, match="no more than the last 24 h"):
        source.actual("DE", NOW - timedelta(days=9), NOW - timedelta(days=8))
    assert [a.path.rpartition("/")[2] for a in server.asked[2:]] == ["history"]


def test_a_plan_of_a_day_is_not_asked_for_ranges(maps: Callable[..., Built]) -> None:
    source, server = maps(playing(past_range=False), history_hours=24)
    assert source.info.history_h == 24
    source.actual("DE", NOW - HOUR, NOW)
    assert [a.path.rpartition("/")[2] for a in server.asked] == ["history"]


def test_an_unknown_zone_is_no_data_and_a_nameless_one_is_not_asked_for(
    maps: Callable[..., Built],
) -> None:
    source, server = maps()
    with pytest.raises(NoData, match="does not exist"):
        source.actual("XX", NOW - HOUR, NOW)
    server.asked.clear()
    for zone in ("", " "):
        with pytest.raises(NoData, match="without a name"):
            source.forecast(zone, NOW, NOW + HOUR, NOW)
    assert not server.asked


def test_without_a_key_nobody_is_asked(maps: Callable[..., Built]) -> None:
    for key in ("", "  \n"):
        source, server = maps(key=key)
        with pytest.raises(AccessDenied, match=f"set {VARIABLE}; one is had at https://"):
            source.actual("DE", NOW - HOUR, NOW)
        assert not server.asked


def test_a_wrong_key_is_denied_once_and_never_shown(maps: Callable[..., Built]) -> None:
    source, server = maps(key="some-other-token-0123456789")
    check_silent(lambda: source.actual("DE", NOW - HOUR, NOW), "some-other-token-0123456789")
    assert len(server.asked) == 2


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("abcdefXYZ0123-_./+=", min_size=12, max_size=50), st.data())
def test_a_key_is_in_no_message_wherever_it_comes_back(
    maps: Callable[..., Built], key: str, data: st.DataObject
) -> None:
    status = data.draw(st.sampled_from([200, 400, 401, 403, 404]))
    bodies = [
        {"error": f"bad token {key}"}, {"message": [key]}, {"zone": key, "data": []}, key,
        {"zone": "DE", "data": [key]}, {"zone": "DE", "data": [{"datetime": key}]}, {key: key},
    ]  # fmt: skip
    body = json.dumps(data.draw(st.sampled_from(bodies)))
    source, _ = maps(lambda _: Reply(body, status), key=key)
    check_silent(lambda: source.actual("DE", NOW - HOUR, NOW), key)


def test_the_caller_is_never_taken_for_the_zone(maps: Callable[..., Built]) -> None:
    source, server = maps()

    def by_address(asked: Asked) -> Reply:
        query = {**asked.query, "zone": "FR"}
        return play_electricity_maps.play(Asked(asked.path, query, asked.headers))

    server.play = by_address
    with pytest.raises(BadData, match="zone 'FR' where DE, which was asked for"):
        source.actual("DE", NOW - HOUR, NOW)


def test_recorded_answers_are_read_or_refused() -> None:
    for path in sample_files("electricity_maps"):
        body = json.loads(path.read_text())
        kind: Kind = "forecast" if "forecast" in path.name else "actual"
        if path.name in ("v3_latest.json", "v3_history.json", "v3_forecast.shape.json",
                         "v4_latest.json"):  # fmt: skip
            series = parsed(body, kind, body["zone"])
            assert len(series) > 0, path.name
            assert set((series.ends - series.starts).tolist()) == {3600.0}, path.name
        else:
            said = "SANDBOX" if "sandbox" in path.name else "a key|an object|zone"
            with pytest.raises(BadData, match=said):
                parsed(body, kind, "FR")

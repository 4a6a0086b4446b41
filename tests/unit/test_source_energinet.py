"""Energinet: the price areas of Denmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from support import play_energinet
from support.clock import NOW
from support.mutations import check_sound, mutated
from support.samples import sample_files
from support.server import Play, SourceServer

from providers.errors import BadData, NoData, Unavailable
from providers.intensity.energinet import (
    Energinet,
    Settings,
    area_of,
    build,
    points_of,
    ranges,
)
from providers.intensity.points import series_of
from providers.series import Series
from providers.surroundings import Surroundings

INFO = Energinet(Settings(), Surroundings.at(Path())).info


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(start: str, value: Any = 94.0, area: Any = "DK1") -> dict[str, Any]:
    local = at(start).astimezone(ZoneInfo("Europe/Copenhagen"))
    return {
        "Minutes5UTC": f"{start}:00",
        "Minutes5DK": f"{local:%Y-%m-%dT%H:%M:%S}",
        "PriceArea": area,
        "CO2Emission": value,
    }


def body_of(*rows: Any) -> dict[str, Any]:
    return {"total": len(rows), "limit": 0, "dataset": "CO2Emis", "records": list(rows)}


def parsed(body: Any, area: str = "DK1") -> Series:
    return series_of(INFO, "DK-DK1", "forecast", NOW, points_of(body, area))


BODY = body_of(
    row("2026-03-02T08:00"),
    row("2026-03-02T08:00", 80.0, "DK2"),
    row("2026-03-02T08:05", 95.0),
    row("2026-03-02T08:10", None),
)


@pytest.fixture
def energinet(
    tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> tuple[Energinet, SourceServer]:
    server = serve(play_energinet.play)
    settings = {"base_url": server.url, "call_every_s": 0.001}
    return build(settings, Surroundings.at(tmp_path)), server


@pytest.mark.parametrize(
    ("zone", "area"), [("DK-DK1", "DK1"), ("DK-DK2", "DK2"), ("DK1", "DK1"), ("DK2", "DK2")]
)
def test_zones_by_both_names(zone: str, area: str) -> None:
    assert area_of(zone) == area


@pytest.mark.parametrize("zone", ["DK", "DK-BHM", "DE", "dk1", ""])
def test_other_zones_are_no_data(zone: str) -> None:
    with pytest.raises(NoData, match="has no zone"):
        area_of(zone)


def test_a_call_asks_in_utc_for_all_rows_of_both_areas() -> None:
    start = datetime.fromisoformat("2026-07-01T02:00+02:00")
    (asked,) = ranges(start, start + timedelta(minutes=90), timedelta(days=90))
    assert asked == {
        "start": "2026-07-01T00:00",
        "end": "2026-07-01T01:30",
        "filter": '{"PriceArea":["DK1","DK2"]}',
        "sort": "Minutes5UTC ASC",
        "limit": 0,
        "timezone": "UTC",
    }


def test_history_is_asked_in_pieces() -> None:
    asked = list(ranges(at("2026-01-01"), at("2026-03-01"), timedelta(days=30)))
    assert [(a["start"], a["end"]) for a in asked] == [
        ("2026-01-01T00:00", "2026-01-31T00:00"),
        ("2026-01-31T00:00", "2026-03-01T00:00"),
    ]


def test_times_are_utc_without_saying_so_and_begin_the_period() -> None:
    series = parsed(BODY)
    assert series.starts[0] == at("2026-03-02T08:00").timestamp()
    assert series.ends.tolist() == [s + 300 for s in series.starts]
    assert series.g_per_kwh.tolist() == [94, 95]
    assert parsed(BODY, "DK2").g_per_kwh.tolist() == [80]
    told = {**row("2026-03-02T08:00"), "Minutes5UTC": "2026-03-02T08:00:00Z"}
    assert parsed(body_of(told)).starts[0] == series.starts[0]


def test_doubled_unsorted_rows_are_put_in_order_and_gaps_stay() -> None:
    series = parsed(
        body_of(
            row("2026-03-02T08:15", 97),
            row("2026-03-02T08:05", 95),
            row("2026-03-02T08:00", 94),
            row("2026-03-02T08:05", 96),
        )
    )
    assert series.g_per_kwh.tolist() == [94, 96, 97]
    assert len(series.gaps(series.starts[0], series.ends[-1])) == 1


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_a_day_of_the_clock_change_has_its_minutes(
    day: str, hours: int, energinet: tuple[Energinet, SourceServer]
) -> None:
    source, _ = energinet
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Copenhagen"))
    series = source.actual("DK-DK2", start, start + timedelta(days=1))
    assert len(series) == 12 * hours
    assert not series.gaps(start.timestamp(), start.timestamp() + hours * 3600)


def test_more_rows_than_the_api_gives_unasked(energinet: tuple[Energinet, SourceServer]) -> None:
    source, server = energinet
    start, end = at("2026-02-01"), at("2026-03-01T00:02")
    series = source.actual("DK-DK1", start, end)
    assert not series.gaps(start.timestamp(), end.timestamp())
    assert series.ends[-1] == end.timestamp()
    assert server.asked[0].path == "/dataset/CO2Emis"
    assert len(server.asked) == 1


def test_jobs_of_one_day_share_an_answer(energinet: tuple[Energinet, SourceServer]) -> None:
    source, server = energinet
    for zone, hour in (("DK-DK1", 3), ("DK-DK2", 5), ("DK1", 7)):
        start = at(f"2026-03-01T0{hour}:17")
        series = source.actual(zone, start, start + timedelta(minutes=41))
        assert series.ends[-1] - series.starts[0] == 41 * 60
    assert len(server.asked) == 1
    assert len(source.actual("DK1", NOW, NOW)) == 0


def test_a_second_question_within_the_minute_is_refused_at_once_but_history_waits_its_turn(
    tmp_path: Path, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(play_energinet.play)
    source = build({"base_url": server.url}, Surroundings.at(tmp_path))
    source.actual("DK1", at("2026-02-01"), at("2026-02-02"))
    source.forecast("DK1", NOW, NOW + timedelta(hours=1), NOW)
    with pytest.raises(Unavailable, match="may be asked once in 60 s"):
        source.actual("DK1", at("2026-02-02"), at("2026-02-03"))
    assert len(server.asked) == 2
    assert source._history._policy.timeout_s > 60
    assert source._history._policy.source == source._actuals._policy.source


def test_all_who_ask_for_a_forecast_ask_the_same(
    energinet: tuple[Energinet, SourceServer],
) -> None:
    source, server = energinet
    for zone, hours, minutes in (("DK-DK1", 2, 0), ("DK-DK2", 30, 10), ("DK1", 400, 35)):
        now = NOW + timedelta(minutes=minutes)
        source.forecast(zone, now, now + timedelta(hours=hours), now)
    assert len({tuple(sorted(asked.query.items())) for asked in server.asked}) == 1
    assert server.asked[0].path == "/dataset/CO2EmisProg"


def test_it_reaches_at_least_9_hours_and_says_no_more_than_it_knows(
    energinet: tuple[Energinet, SourceServer],
) -> None:
    source, server = energinet
    series = source.forecast("DK-DK1", NOW, NOW + timedelta(days=3), NOW)
    assert series.ends[-1] >= (NOW + timedelta(hours=9)).timestamp()
    assert series.ends[-1] < (NOW + timedelta(hours=12)).timestamp()
    before = len(server.asked)
    far = NOW + timedelta(days=4)
    assert len(source.forecast("DK-DK1", far, far + timedelta(hours=1), NOW)) == 0
    assert len(server.asked) == before


def test_a_forecast_of_the_past_is_what_was_expected(
    energinet: tuple[Energinet, SourceServer],
) -> None:
    source, _ = energinet
    start = NOW - timedelta(hours=5)
    series = source.forecast("DK-DK1", start, NOW, NOW)
    assert not series.gaps(start.timestamp(), NOW.timestamp())
    assert series.kind == "forecast"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "an object"),
        ({"message": "Dataset not found"}, "a key 'records'"),
        ({"records": {}}, "a list"),
        (body_of(7), "an object"),
        (body_of({}), "a key 'PriceArea'"),
        (body_of(row("2026-03-02T08:00", area=None)), "a name"),
        (body_of(row("2026-03-02T08:00", "94")), "a number"),
        (body_of(row("2026-03-02T08:00", False)), "a number"),
        (body_of(row("2026-03-02T08:00", -1)), "no grid emits"),
        (body_of({**row("2026-03-02T08:00"), "Minutes5UTC": "yesterday"}), "ISO 8601"),
        (body_of({**row("2026-03-02T08:00"), "Minutes5UTC": 1772440200}), "ISO 8601"),
        (body_of(row("2026-03-02T08:00"), row("2026-03-02T08:03")), "overlap"),
    ],
)
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


@given(mutated(BODY))
def test_a_body_gone_wrong_gives_its_own_numbers_or_an_error(body: Any) -> None:
    check_sound(body, parsed)


def test_recorded_answers_are_read() -> None:
    for path in sample_files("energinet"):
        assert len(parsed(json.loads(path.read_text()))) > 0, path.name

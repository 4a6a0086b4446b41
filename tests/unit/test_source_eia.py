"""EIA: fuels and their factors, missing ones, pages, the end of the hour."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import play_eia
from support.clock import NOW
from support.keyed import at, check_silent, with_keys
from support.mutations import mutated
from support.play_eia import FUELS, KEY, mwh, row
from support.samples import sample_files
from support.server import Asked, Play, Reply, SourceServer

from providers.errors import AccessDenied, BadData, NoData, ProviderError
from providers.intensity.eia import (
    Eia,
    Settings,
    build,
    mix_of,
    page_of,
    params_of,
    respondent_of,
)
from providers.intensity.fuels import FACTORS, STORAGE, intensity, series_from
from providers.series import Series
from providers.surroundings import Surroundings

INFO = Eia(Settings(), Surroundings.at(Path())).info
HOUR = timedelta(hours=1)
ZONE = "US-CAL-CISO"
Built = tuple[Eia, SourceServer]


def body_of(*rows: Any, total: Any = None) -> dict[str, Any]:
    told = str(len(rows)) if total is None else total
    return {"response": {"total": told, "frequency": "hourly", "data": list(rows)}}


def parsed(body: Any, hour_ending: bool = True) -> Series:
    rows, _ = page_of(body)
    return series_from(INFO, ZONE, mix_of(rows, "CISO", hour_ending), NOW)


def day(*left_out: tuple[int, str], **fuels: int) -> list[dict[str, Any]]:
    """A day of hours; ``left_out`` are rows that are not told."""
    return [
        row(fuel, f"2026-03-01T{hour:02}", value)
        for hour in range(24)
        for fuel, value in fuels.items()
        if (hour, fuel) not in left_out
    ]


BODY = body_of(*day(NG=900, SUN=100, OTH=10)[:9], row("COL", "2026-03-01T00", None))


@pytest.fixture
def eia(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Callable[..., Built]:
    def make(play: Play = play_eia.play, key: str = KEY, **given: Any) -> Built:
        server = serve(play)
        url = {"base_url": f"{server.url}/v2", "ttl_s": 0}
        return build(url | given, with_keys(tmp_path, {"EIA_API_KEY": key})), server

    return make


def test_a_mix_times_its_factors() -> None:
    mix = {"COL": 100.0, "NG": 300.0, "NUC": 400.0, "WND": 200.0}
    band = intensity(mix, "direct")
    assert band is not None
    assert (band.low, band.value, band.high) == (pytest.approx((104800 + 130500) / 1000),) * 3
    whole = intensity(mix, "lifecycle")
    assert whole is not None
    assert whole.value == pytest.approx((110800 + 166500 + 4800 + 2200) / 1000)


def test_the_factors_give_the_mean_that_eia_states_for_the_country() -> None:
    # The same page of EIA: 2023 in million kWh; 0.81 lb/kWh over all, 1 % of it from other fuels.
    band = intensity({"COL": 675115, "NG": 1806063, "OIL": 16233, "NUC": 1685860}, "direct")
    assert band is not None
    assert band.value == pytest.approx(0.81 * 453.59237, rel=0.02)


def test_life_cycle_factors_are_never_below_direct_ones() -> None:
    assert all(direct <= whole for direct, whole in FACTORS.values())
    assert not STORAGE & FACTORS.keys()


def test_storage_is_left_out_whatever_it_does() -> None:
    alone = intensity({"NG": 500.0, "SUN": 500.0}, "direct")
    for stored in (-300.0, 0.0, 300.0, None):
        mix = {"NG": 500.0, "SUN": 500.0, "BAT": stored, "PS": stored}
        assert intensity(mix, "direct") == alone


def test_what_is_a_little_below_zero_is_nothing_and_far_below_unknown() -> None:
    night = intensity({"NG": 500.0, "SUN": -4.0, "WAT": -400.0}, "direct")
    assert night is not None
    assert night.value == pytest.approx(435)
    assert intensity({"NG": 500.0, "COL": -400.0}, "direct") is None
    assert intensity({"SUN": -4.0}, "direct") is None
    assert intensity({"OTH": 40.0}, "direct") is None


@pytest.mark.parametrize("fuel", ["OTH", "UNK", "a fuel of tomorrow"])
def test_other_fuels_are_like_the_rest_with_a_band_from_cleanest_to_dirtiest(fuel: str) -> None:
    band = intensity({"NG": 600.0, "WND": 300.0, fuel: 100.0}, "lifecycle")
    assert band is not None
    known = 600 * 555 + 300 * 11
    assert band.value == pytest.approx(known / 900)
    assert band.low == pytest.approx((known + 100 * 11) / 1000)
    assert band.high == pytest.approx((known + 100 * 1236) / 1000)


amounts = st.floats(-1e5, 1e5) | st.none()


@given(
    st.dictionaries(st.sampled_from([*FACTORS, *STORAGE, "OTH", "UNK"]), amounts),
    st.sampled_from(["direct", "lifecycle"]),
)
def test_any_mix_is_unknown_or_between_the_cleanest_and_the_dirtiest(
    mix: dict[str, float | None], factors: Any
) -> None:
    band = intensity(mix, factors)
    if any(v is None for fuel, v in mix.items() if fuel not in STORAGE):
        assert band is None
    if band is not None:
        assert 0 <= band.low <= band.value <= band.high <= 1236 * (1 + 1e-9)


def test_a_row_is_labelled_by_the_end_of_its_hour() -> None:
    body = body_of(row("NG", "2026-03-01T01", 100))
    assert parsed(body).starts[0] == at("2026-03-01T00:00").timestamp()
    assert parsed(body, hour_ending=False).starts[0] == at("2026-03-01T01:00").timestamp()


def test_an_hour_with_a_fuel_that_is_null_is_a_gap_and_not_less() -> None:
    rows = day(NG=500, COL=500)
    rows[8]["value"] = None
    rows[10]["value"] = ""
    series = parsed(body_of(*rows))
    assert len(series) == 22
    assert series.g_per_kwh.tolist() == pytest.approx([(1108 + 555) / 2] * 22)


def test_an_hour_without_a_row_of_a_major_fuel_is_a_gap_at_the_end_too() -> None:
    rows = day((5, "COL"), (23, "COL"), (22, "COL"), NG=500, COL=500)
    assert len(parsed(body_of(*rows))) == 21
    minor = day((5, "OIL"), NG=500, OIL=3)
    assert len(parsed(body_of(*minor))) == 24


def test_the_sun_may_set() -> None:
    night = [(hour, "SUN") for hour in (*range(6), *range(19, 24))]
    # Only the hours beside the day may lack it.
    assert len(parsed(body_of(*day(*night, NG=500, SUN=500)))) == 22


def test_of_a_row_listed_twice_the_last_word_counts_in_any_order() -> None:
    rows = [row("NG", "2026-03-01T02", 1), row("NG", "2026-03-01T01", 1),
            row("WND", "2026-03-01T01", 7), row("WND", "2026-03-01T01", 1)]  # fmt: skip
    assert parsed(body_of(*rows)).g_per_kwh.tolist() == [pytest.approx((555 + 11) / 2)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "an object"),
        ({"error": "no"}, "a key 'response'"),
        ({"response": {}}, "a key 'total'"),
        (body_of(total=None) | {"response": {"total": "many", "data": []}}, "a number of rows"),
        (body_of(total=True), "a number of rows"),
        ({"response": {"total": 0, "data": {}}}, "a list"),
        (body_of(1), "an object"),
        (body_of(row("NG", "2026-03-01T00", 1, "PJM")), "respondent 'PJM' where CISO"),
        (body_of(row("NG", "2026-03-01T00", 1) | {"value-units": "megawatts"}), "megawatthours"),
        (body_of(row("NG", "2026-03-01T00", 1) | {"fueltype": None}), "a name"),
        (body_of(row("NG", "2026-03-01T00:30", 1)), "an hour"),
        (body_of(row("NG", "March", 1)), "ISO 8601"),
        (body_of(row("NG", "2026-03-01T00", "1e3")), "a number of MWh"),
        (body_of(row("NG", "2026-03-01T00", "nan")), "a number of MWh"),
        (body_of(row("NG", "2026-03-01T00", "9" * 400)), "a number of MWh"),
        (body_of(row("NG", "2026-03-01T00", 1) | {"value": True}), "a number of MWh"),
        (body_of(row("NG", "2026-03-01T00", 1) | {"value": [1]}), "a number of MWh"),
    ],
)
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


@given(mutated(BODY))
def test_a_body_gone_wrong_gives_a_series_within_the_factors_or_an_error(body: Any) -> None:
    try:
        series = parsed(body)
    except ProviderError as e:
        said = str(e)
    else:
        said = "a series"
        # Life-cycle factors are all above zero: a zero could only be invented.
        assert all(11 <= value <= 1236 for value in series.g_per_kwh.tolist())
    assert "\n" not in said


@pytest.mark.parametrize(
    ("zone", "respondent"),
    [("US-CAL-CISO", "CISO"), ("US-CAR-SC", "SC"), ("PJM", "PJM"), ("US48", "US48")],
)
def test_zones_end_in_their_balancing_authority(zone: str, respondent: str) -> None:
    assert respondent_of(zone) == respondent


@pytest.mark.parametrize("zone", ["US", "DE", "NE", "us-cal-ciso", "CA-ON", "", "US-CAL-CISO-X"])
def test_other_zones_are_no_data(zone: str) -> None:
    with pytest.raises(NoData, match="has no zone"):
        respondent_of(zone)


def test_two_weeks_before_and_a_day_after_are_asked_for_too() -> None:
    params = params_of("CISO", at("2026-03-01T05:30"), at("2026-03-01T09:30"))
    assert (params["start"], params["end"]) == ("2026-02-15T00", "2026-03-02T10")
    assert params["length"] == 5000


def test_actuals_come_by_pages_and_equal_their_mix(eia: Callable[..., Built]) -> None:
    source, server = eia()
    start, end = at("2025-12-01"), at("2026-03-01")
    series = source.actual(ZONE, start, end)
    assert len(series) == 90 * 24
    assert not series.gaps(start.timestamp(), end.timestamp())
    offsets = [int(asked.query["offset"]) for asked in server.asked]
    assert offsets == [0, 5000, 10000, 15000]
    first = intensity({fuel: float(mwh(fuel, start)) for fuel in FUELS}, "lifecycle")
    assert first is not None
    assert (series.low[0], series.g_per_kwh[0], series.high[0]) == (
        first.low, first.value, first.high,
    )  # fmt: skip
    assert (series.kind, series.factors, series.flow) == ("actual", "lifecycle", "production")


Change = Callable[[str, datetime, int], int | None]
START = at("2026-02-20")


def changed(change: Change) -> Play:
    """EIA as it is played, with other figures for some rows; None: no such row."""

    def play(asked: Asked) -> Reply:
        # All rows are one page here, so that a row may be left out.
        whole = play_eia.play(replace(asked, query=asked.query | {"length": "5000"}))
        body = json.loads(whole.body)
        rows = []
        for one in body["response"]["data"]:
            start = datetime.fromisoformat(one["period"]).replace(tzinfo=UTC) - HOUR
            value = change(one["fueltype"], start, int(one["value"]))
            rows += [] if value is None else [one | {"value": str(value)}]
        body["response"] |= {"data": rows, "total": str(len(rows))}
        return Reply(json.dumps(body))

    return play


def hours_of(eia: Callable[..., Built], change: Change) -> tuple[Series, set[int]]:
    """Two days of actuals, and which hours of them are gaps."""
    source, _ = eia(changed(change))
    series = source.actual(ZONE, START, START + 48 * HOUR)
    known = {round((s - START.timestamp()) / 3600) for s in series.starts}
    return series, set(range(48)) - known


@pytest.mark.parametrize("fuel", ["WAT", "NG", "OTH", "SUN", "COL"])
@pytest.mark.parametrize("mwh", [-79_000, 79_000, 40_000_000])
@pytest.mark.parametrize("hours", [{7, 20}, {0, 47}, set(range(4, 28))])
def test_a_figure_beyond_an_area_s_own_past_is_a_gap(
    eia: Callable[..., Built], fuel: str, mwh: int, hours: set[int]
) -> None:
    wrong = {START + hour * HOUR for hour in hours}

    def change(one: str, start: datetime, value: int) -> int:
        return mwh if one == fuel and start in wrong else value

    as_it_is, none = hours_of(eia, lambda fuel, start, value: value)
    series, gaps = hours_of(eia, change)
    assert none == set()
    assert gaps == (hours if fuel != "WAT" else set())
    kept = [v for h, v in enumerate(as_it_is.g_per_kwh.tolist()) if h not in gaps]
    assert series.g_per_kwh.tolist() == kept


@pytest.mark.parametrize("fuel", ["NG", "SUN"])
@pytest.mark.parametrize("hours", [{11}, {11, 12}, {10, 11, 12}])
@pytest.mark.parametrize("left", [0, 1, -3])
def test_a_main_fuel_that_is_gone_for_some_hours_is_a_gap(
    eia: Callable[..., Built], fuel: str, hours: set[int], left: int
) -> None:
    gone = {START + hour * HOUR for hour in hours}

    def change(one: str, start: datetime, value: int) -> int:
        return left if one == fuel and start in gone else value

    _, gaps = hours_of(eia, change)
    assert gaps == hours


def test_a_main_fuel_that_stays_away_is_believed_when_it_comes_back_a_day_later(
    eia: Callable[..., Built],
) -> None:
    def change(fuel: str, start: datetime, value: int) -> int:
        off = START + 5 * HOUR <= start < START + 29 * HOUR
        return 0 if fuel == "NUC" and off else value

    _, gaps = hours_of(eia, change)
    assert gaps == set()


@pytest.mark.parametrize(("fuel", "days"), [("NG", 1), ("NG", 9), ("WND", 5), ("SUN", 9)])
def test_a_fuel_that_vanishes_is_a_gap_however_long_it_stays_away(
    eia: Callable[..., Built], fuel: str, days: int
) -> None:
    since = START - days * 24 * HOUR

    def change(one: str, start: datetime, value: int) -> int | None:
        return None if one == fuel and start >= since else value

    _, gaps = hours_of(eia, change)
    # The sun may set: its nights are known without it.
    assert len(gaps) == (48 if fuel != "SUN" else 2 * 13)


def test_a_fuel_that_is_new_is_no_gap_of_the_days_before(eia: Callable[..., Built]) -> None:
    def change(fuel: str, start: datetime, value: int) -> int | None:
        return None if fuel == "WND" and start < START + 40 * HOUR else value

    _, gaps = hours_of(eia, change)
    assert gaps == set(range(16, 40))


def test_a_quiet_fuel_may_carry_the_whole_area(eia: Callable[..., Built]) -> None:
    def change(fuel: str, start: datetime, value: int) -> int:
        if START <= start < START + 6 * HOUR and fuel in {"COL", "NG"}:
            return 9500 - value
        return value

    _, gaps = hours_of(eia, change)
    assert gaps == set()


def test_what_is_not_told_yet_is_a_gap(eia: Callable[..., Built]) -> None:
    source, _ = eia()
    series = source.actual(ZONE, NOW - 3 * HOUR, NOW + 9 * HOUR)
    assert series.ends[-1] == play_eia.LAST.timestamp()


@pytest.mark.parametrize(("date", "count"), [("2025-03-09", 23), ("2025-11-02", 25)])
def test_a_day_of_the_clock_change_has_its_hours(
    date: str, count: int, eia: Callable[..., Built]
) -> None:
    source, _ = eia()
    start = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("America/Los_Angeles"))
    series = source.actual(ZONE, start, start + timedelta(days=1))
    assert len(series) == count
    assert not series.gaps(start.timestamp(), start.timestamp() + count * 3600)


def test_rows_that_are_counted_but_not_told_are_bad_data(eia: Callable[..., Built]) -> None:
    rows = day(NG=500)
    source, server = eia(lambda asked: Reply(json.dumps(
        body_of(*(rows if asked.query["offset"] == "0" else ()), total="48"))))  # fmt: skip
    with pytest.raises(BadData, match="answered 24 rows and counts 48"):
        source.actual(ZONE, at("2026-03-01"), at("2026-03-02"))
    assert len(server.asked) == 2


def test_an_answer_without_end_is_bad_data(eia: Callable[..., Built]) -> None:
    source, server = eia(lambda _: Reply(json.dumps(body_of(*day(NG=500), total="99999999"))))
    with pytest.raises(BadData, match="counts 99999999"):
        source.actual(ZONE, at("2026-03-01"), at("2026-03-02"))
    assert len(server.asked) == 1


def test_an_authority_without_rows_is_no_data(eia: Callable[..., Built]) -> None:
    source, _ = eia()
    with pytest.raises(NoData, match=r"nothing of NOWHR \(NOWHR\) .* a day late"):
        source.actual("NOWHR", NOW - HOUR, NOW)


def test_it_has_no_forecast_and_asks_nobody_for_one(eia: Callable[..., Built]) -> None:
    source, server = eia()
    with pytest.raises(NoData, match="no forecast"):
        source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert source.info.horizon_h == 0
    assert not server.asked


def test_without_a_key_nobody_is_asked(eia: Callable[..., Built]) -> None:
    source, server = eia(key=" ")
    with pytest.raises(AccessDenied, match="set EIA_API_KEY; one is had at https://"):
        source.actual(ZONE, NOW - HOUR, NOW)
    assert not server.asked


def test_a_wrong_key_is_denied_and_never_shown(eia: Callable[..., Built]) -> None:
    source, _ = eia(key="another-invented-key")
    with pytest.raises(AccessDenied, match="invalid api_key"):
        source.actual(ZONE, NOW - HOUR, NOW)
    check_silent(lambda: source.actual(ZONE, NOW - HOUR, NOW), "another-invented-key")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("abcdefXYZ0123-_./+=", min_size=12, max_size=50), st.data())
def test_a_key_is_in_no_message_wherever_it_comes_back(
    eia: Callable[..., Built], key: str, data: st.DataObject
) -> None:
    body = json.dumps(data.draw(st.sampled_from([
        {"error": {"message": f"bad {key}"}}, key, {key: 1}, {"response": key},
        body_of(total=key), body_of(key), body_of(row("NG", key, 1)), body_of(row("NG", "x", key)),
        body_of(row("NG", "2026-03-01T00", key)), body_of(row("NG", "2026-03-01T00", 1, key)),
    ])))  # fmt: skip
    status = data.draw(st.sampled_from([200, 400, 403, 404]))

    def play(asked: Asked) -> Reply:
        return Reply(body, status)

    source, _ = eia(play, key=key)
    check_silent(lambda: source.actual(ZONE, NOW - HOUR, NOW), key)


def test_the_key_is_kept_nowhere(eia: Callable[..., Built], tmp_path: Path) -> None:
    source, _ = eia()
    source.actual(ZONE, NOW - HOUR, NOW)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(KEY.encode() in content for content in kept)


def test_recorded_answers_are_read() -> None:
    for path in sample_files("eia"):
        series = parsed(json.loads(path.read_text()))
        assert series.starts.tolist() == [at("2023-12-31T23:00").timestamp()]
        assert series.g_per_kwh[0] == pytest.approx((10525 * 555 + 5732 * 48) / (10525 + 5732))

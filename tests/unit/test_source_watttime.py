"""WattTime: tokens that expire, scopes, units, models."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clock import NOW
from support.keyed import at, check_silent, with_keys
from support.mutations import mutated, numbers
from support.play_watttime import PASSWORD, USER, Account, body_of, value
from support.samples import sample_files
from support.server import Asked, Play, Reply, SourceServer

from providers.errors import AccessDenied, BadData, NoData, ProviderError
from providers.intensity.points import series_of
from providers.intensity.watttime import (
    Settings,
    WattTime,
    build,
    model_of,
    points_of,
    ranges,
    region_of,
)
from providers.series import Series
from providers.surroundings import Surroundings

INFO = WattTime(Settings(), Surroundings.at(Path())).info
HOUR = timedelta(hours=1)
G = 0.45359237
KEYS = {"WATTTIME_USERNAME": USER, "WATTTIME_PASSWORD": PASSWORD}
ZONE = "US-CAL-CISO"
Built = tuple[WattTime, SourceServer, Account]


def parsed(body: Any) -> Series:
    model_of(body)
    return series_of(INFO, ZONE, "forecast", NOW, points_of(body, "CAISO_NORTH", "co2_moer"))


def told(**meta: Any) -> dict[str, Any]:
    body = body_of(at("2026-03-02T08:00"), 2)
    return body | {"meta": body["meta"] | meta}


def point(start: str, pounds: Any = 850.0) -> dict[str, Any]:
    return {"point_time": start, "value": pounds}


def told_points(*points: Any) -> dict[str, Any]:
    return told() | {"data": list(points)}


@pytest.fixture
def watttime(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Callable[..., Built]:
    def make(
        play: Play | None = None, environ: dict[str, str] | None = None, **given: Any
    ) -> Built:
        account = Account()
        server = serve(play or account.play)
        url = {"base_url": f"{server.url}/v3", "ttl_s": 0}
        keys = KEYS if environ is None else environ
        return build(url | given, with_keys(tmp_path, keys)), server, account

    return make


def paths(server: SourceServer) -> list[str]:
    return [asked.path for asked in server.asked]


def test_pounds_a_megawatt_hour_become_grams_a_kilowatt_hour() -> None:
    series = parsed(told_points(point("2026-03-02T08:00:00+00:00", 1000), point(
        "2026-03-02T08:05:00+00:00", 0), point("2026-03-02T08:10:00+00:00", None)))  # fmt: skip
    assert series.g_per_kwh.tolist() == [pytest.approx(453.59237), 0]
    assert set((series.ends - series.starts).tolist()) == {300.0}


def test_unsorted_doubled_points_are_put_in_order_and_holes_stay() -> None:
    body = told_points(
        point("2026-03-02T08:15:00Z", 3),
        point("2026-03-02T08:00:00Z", 1),
        point("2026-03-02T08:00:00Z", 2),
        point("2026-03-02T09:20:00+01:00", 4),
    )
    series = parsed(body)
    assert series.g_per_kwh.tolist() == [pytest.approx(n * G) for n in (2, 3, 4)]
    assert series.gaps(series.starts[0], series.ends[-1]) == [
        (at("2026-03-02T08:05").timestamp(), at("2026-03-02T08:15").timestamp())
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([{"point_time": "2019-02-21T00:15:00.000Z", "value": 844}], "v2 did, which is gone"),
        ({}, "a key 'meta'"),
        ({"data": [], "meta": []}, "an object"),
        (told(units="g_co2_per_kwh"), "units 'g_co2_per_kwh' where lbs_co2_per_mwh"),
        (told(units=None), "units None"),
        (told(region="PJM_DC"), "region 'PJM_DC' where CAISO_NORTH"),
        (told(signal_type="health_damage"), "signal_type 'health_damage' where co2_moer"),
        (told(data_point_period_seconds=0), "up to an hour"),
        (told(data_point_period_seconds=86400), "up to an hour"),
        (told(data_point_period_seconds=None), "up to an hour"),
        (told(data_point_period_seconds="300"), "a number"),
        (told(data_point_period_seconds=900), "overlap"),
        (told(model="2023-03-01"), "an object"),
        (told(model={"date": "new\nmodel"}), "a day"),
        (told_points(1), "an object"),
        (told_points({"value": 1}), "a key 'point_time'"),
        (told_points(point("2026-03-02T08:00:00")), "with its offset"),
        (told_points(point("2026-03-02T08:00:00Z", "850")), "a number"),
        (told_points(point("2026-03-02T08:00:00Z", -3)), "no grid emits"),
        (told_points(point("2026-03-02T08:00:00Z", 8500)), "no grid emits"),
    ],
)
def test_an_unexpected_body_is_bad_data_in_one_line(body: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        parsed(body)
    assert "\n" not in str(raised.value)


@given(mutated(body_of(at("2026-03-02T08:00"), 3)))
def test_a_body_gone_wrong_gives_its_own_numbers_or_an_error(body: Any) -> None:
    try:
        series = parsed(body)
    except ProviderError as e:
        said = str(e)
    else:
        said = "a series"
        assert set(series.g_per_kwh.tolist()) <= {n * G for n in numbers(body)}
    assert "\n" not in said


def test_the_model_is_part_of_the_source(watttime: Callable[..., Built]) -> None:
    assert model_of(told(model=None)) is None
    source, server, account = watttime()

    def another_model(asked: Asked) -> Reply:
        reply = account.play(asked)
        late = asked.query.get("start", "") > "2026-02"
        return Reply(reply.body.replace("2023-03-01", "2026-03-01") if late else reply.body)

    server.play = another_model
    series = source.actual(ZONE, at("2026-01-10"), at("2026-02-20"))
    assert series.source == (
        "WattTime co2_moer (model 2023-03-01) + WattTime co2_moer (model 2026-03-01)"
    )
    assert not series.gaps(at("2026-01-10").timestamp(), at("2026-02-20").timestamp())


def test_a_model_can_be_pinned(watttime: Callable[..., Built]) -> None:
    source, server, _ = watttime(model="2023-03-01")
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert server.asked[-1].query["model"] == "2023-03-01"


@pytest.mark.parametrize(
    ("zone", "region"),
    [("US-CAL-CISO", "CAISO_NORTH"), ("PJM_DC", "PJM_DC"), ("PSCO", "PSCO"), ("DE", "DE")],
)
def test_zones_and_regions(zone: str, region: str) -> None:
    assert region_of(zone, {"US-CAL-CISO": "CAISO_NORTH", "DE": "DE"}) == region


@pytest.mark.parametrize("zone", ["DE", "US-NW-PSCO", "caiso_north", "", "PJM DC", "A" * 41])
def test_other_zones_are_no_data_with_what_to_do(zone: str) -> None:
    with pytest.raises(NoData, match="setting `regions`"):
        region_of(zone, {})


def test_history_is_asked_in_32_days() -> None:
    spans = list(ranges(at("2026-01-01T00:20"), at("2026-03-01T11:05")))
    assert spans == [
        {"start": "2026-01-01T00:00+00:00", "end": "2026-02-02T00:00+00:00"},
        {"start": "2026-02-02T00:00+00:00", "end": "2026-03-01T12:00+00:00"},
    ]
    assert list(ranges(NOW, NOW)) == []
    assert list(ranges(NOW + HOUR, NOW)) == []


@given(st.integers(0, 10**8), st.integers(1, 10**8))
def test_ranges_join_and_cover(ago_s: int, seconds: int) -> None:
    first = NOW - timedelta(seconds=ago_s)
    last = first + timedelta(seconds=seconds)
    spans = [(at(str(s["start"])[:16]), at(str(s["end"])[:16])) for s in ranges(first, last)]
    assert spans[0][0] <= first
    assert spans[-1][1] >= last
    assert all(b - a <= timedelta(days=32) for a, b in spans)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_a_forecast_reaches_its_horizon(watttime: Callable[..., Built]) -> None:
    source, server, account = watttime(horizon_hours=72)
    series = source.forecast(ZONE, NOW, NOW + timedelta(days=5), NOW)
    assert series.ends[-1] == (NOW + 72 * HOUR + timedelta(minutes=5)).timestamp()
    assert (series.signal, series.factors, series.flow) == ("marginal", "direct", None)
    assert series.g_per_kwh[0] == pytest.approx(value(NOW) * G)
    assert paths(server) == ["/login", "/v3/forecast"]
    assert account.logins == 1
    assert len(source.forecast(ZONE, NOW + 80 * HOUR, NOW + 90 * HOUR, NOW)) == 0
    assert len(server.asked) == 2


def test_average_emissions_have_no_forecast(watttime: Callable[..., Built]) -> None:
    source, server, _ = watttime(signal_type="co2_aoer")
    assert (source.info.signal, source.info.flow) == ("average", "production")
    assert source.info.horizon_h == 0
    with pytest.raises(NoData, match="co2_aoer has no forecast"):
        source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert not server.asked


def test_one_login_serves_many_questions(watttime: Callable[..., Built]) -> None:
    source, server, account = watttime()
    source.actual(ZONE, NOW - timedelta(days=90), NOW)
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert account.logins == 1
    assert paths(server).count("/v3/historical") == 3


def test_an_expired_token_is_one_new_login_and_one_retry(watttime: Callable[..., Built]) -> None:
    source, server, account = watttime()
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    account.expire()
    server.asked.clear()
    assert len(source.forecast(ZONE, NOW, NOW + HOUR, NOW)) > 0
    assert paths(server) == ["/v3/forecast", "/login", "/v3/forecast"]
    assert account.logins == 2


def test_tokens_that_are_never_good_end_in_an_error(watttime: Callable[..., Built]) -> None:
    source, server, account = watttime()

    def never(asked: Asked) -> Reply:
        return account.play(asked) if "login" in asked.path else Reply('{"error":"expired"}', 401)

    server.play = never
    for expected in (["/login", "/v3/forecast"], ["/v3/forecast", "/login", "/v3/forecast"]):
        server.asked.clear()
        with pytest.raises(AccessDenied, match="expired"):
            source.forecast(ZONE, NOW, NOW + HOUR, NOW)
        assert paths(server) == expected


def test_after_half_an_hour_a_token_is_renewed_unasked(watttime: Callable[..., Built]) -> None:
    source, server, account = watttime()
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    source._token_until -= 29 * 60
    server.asked.clear()
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert paths(server) == ["/login", "/v3/forecast"]
    assert account.logins == 2


@pytest.mark.parametrize("status", [400, 403])
def test_a_region_out_of_scope_is_denied_in_their_words(
    status: int, watttime: Callable[..., Built]
) -> None:
    source, server, account = watttime()
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    server.asked.clear()
    server.play = lambda asked: Reply(account.play(asked).body, status)
    with pytest.raises(AccessDenied, match=r"Invalid scope\. You do not have .* \(region PJM_DC\)"):
        source.actual("PJM_DC", NOW - HOUR, NOW)
    assert paths(server) == ["/v3/historical"]


@pytest.mark.parametrize(
    "body", ["{}", "[]", '"an-invented-token"', '{"token": null}', '{"token": ""}',
             '{"token": "two words"}', '{"token": "line\\nfeed-of-a-token"}']
)  # fmt: skip
def test_a_login_without_a_token_is_bad_data(body: str, watttime: Callable[..., Built]) -> None:
    source, _, _ = watttime(lambda _: Reply(body))
    with pytest.raises(BadData, match="the login with no token") as raised:
        source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert "invented" not in str(raised.value)


def test_the_login_may_be_elsewhere(watttime: Callable[..., Built]) -> None:
    _, server, account = watttime()
    other, _, _ = watttime(account.play, base_url=f"{server.url}/v4",
                           login_url=f"{server.url}/sign/login")  # fmt: skip
    assert len(other.forecast(ZONE, NOW, NOW + HOUR, NOW)) > 0
    assert paths(server) == ["/sign/login", "/v4/forecast"]


@pytest.mark.parametrize("missing", KEYS)
def test_without_an_account_nobody_is_asked(missing: str, watttime: Callable[..., Built]) -> None:
    source, server, _ = watttime(environ={k: v for k, v in KEYS.items() if k != missing})
    with pytest.raises(AccessDenied, match=f"set {missing}; one is had at https://"):
        source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    assert not server.asked


def test_a_wrong_password_is_denied_and_never_shown(watttime: Callable[..., Built]) -> None:
    source, server, _ = watttime(environ=KEYS | {"WATTTIME_PASSWORD": "0123456789-wrong"})
    check_silent(lambda: source.forecast(ZONE, NOW, NOW + HOUR, NOW), "0123456789-wrong")
    assert paths(server) == ["/login"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("abcdefXYZ0123-_./+=", min_size=12, max_size=50), st.data())
def test_secrets_are_in_no_message_wherever_they_come_back(
    watttime: Callable[..., Built], secret: str, data: st.DataObject
) -> None:
    body = json.dumps(data.draw(st.sampled_from([
        {"error": f"bad {secret}"}, {"message": [secret]}, secret, {secret: 1}, [secret],
        told(region=secret), told(model=secret), told_points(secret), told_points(point(secret)),
    ])))  # fmt: skip
    at_login = data.draw(st.booleans())
    status = data.draw(st.sampled_from([200, 400, 401, 403, 404]))

    def play(asked: Asked) -> Reply:
        login = "login" in asked.path
        return Reply(body, status) if login == at_login else Reply(json.dumps({"token": secret}))

    source, _, _ = watttime(play, environ=KEYS | {"WATTTIME_PASSWORD": secret})
    check_silent(lambda: source.forecast(ZONE, NOW, NOW + HOUR, NOW), secret)


def test_a_token_is_kept_nowhere(watttime: Callable[..., Built], tmp_path: Path) -> None:
    source, _, account = watttime()
    source.forecast(ZONE, NOW, NOW + HOUR, NOW)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for secret in (account.token, USER, PASSWORD):
        assert not any(secret.encode() in content for content in kept)


def test_recorded_answers_are_read_or_refused() -> None:
    for path in sample_files("watttime"):
        body = json.loads(path.read_text())
        if path.name == "v3_forecast.shape.json":
            assert parsed(body).g_per_kwh.tolist() == [
                pytest.approx(870 * G),
                pytest.approx(868 * G),
            ]
        else:
            with pytest.raises(BadData):
                parsed(body)

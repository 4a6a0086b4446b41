"""Times that people write are those of the clocks on their wall, or one clear line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import wall_clock

BERLIN = ZoneInfo("Europe/Berlin")
# A Monday, 09:00 in Berlin.
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("18:00", "2026-03-02T18:00"),
        ("09:00", "2026-03-03T09:00"),
        ("8:30", "2026-03-03T08:30"),
        ("today 18:00", "2026-03-02T18:00"),
        ("tomorrow 18:00", "2026-03-03T18:00"),
        ("Tomorrow, 18:00", "2026-03-03T18:00"),
        ("Fri 18:00", "2026-03-06T18:00"),
        ("monday 18:00", "2026-03-02T18:00"),
        ("Mon 08:00", "2026-03-09T08:00"),
        ("2026-12-01 18:00", "2026-12-01T18:00"),
        ("2026-07-01T18:00:30", "2026-07-01T18:00:30"),
        ("tomorrow", "2026-03-03T00:00"),
        ("2026-12-01", "2026-12-01T00:00"),
    ],
)
def test_a_time_without_an_offset_is_local(text: str, means: str) -> None:
    assert wall_clock.moment(text, NOW, BERLIN) == at(means)
    assert wall_clock.is_local(text)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("tomorrow", "2026-03-04T00:00"),
        ("today", "2026-03-03T00:00"),
        ("Fri", "2026-03-07T00:00"),
        ("2026-12-01", "2026-12-02T00:00"),
        ("18:00", "2026-03-02T18:00"),
    ],
)
def test_a_day_alone_as_a_bound_is_its_end(text: str, means: str) -> None:
    assert wall_clock.moment(text, NOW, BERLIN, edge="end") == at(means)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("18:00", "2026-03-01T18:00"),
        ("08:00", "2026-03-02T08:00"),
        ("yesterday", "2026-03-01T00:00"),
        ("Fri", "2026-02-27T00:00"),
        ("Fri 08:00", "2026-02-27T08:00"),
        ("30d", "2026-01-31T09:00"),
    ],
)
def test_a_time_in_the_past_is_the_last_such_one(text: str, means: str) -> None:
    assert wall_clock.moment(text, NOW, BERLIN, past=True) == at(means)


def test_an_offset_or_a_span_needs_no_time_zone() -> None:
    for text in ("2026-03-02T10:00+02:00", "2026-03-02T08:00:00Z", "20260302T080000Z"):
        assert wall_clock.moment(text, NOW, BERLIN) == NOW
        assert not wall_clock.is_local(text)
    assert wall_clock.moment("90min", NOW, BERLIN) == NOW + timedelta(minutes=90)
    assert not wall_clock.is_local("90min")


@pytest.mark.parametrize(
    ("text", "zone", "readings"),
    [
        ("2026-10-25 02:30", "Europe/Berlin", ("02:30+02:00", "02:30+01:00")),
        ("2026-03-29 02:30", "Europe/Berlin", ("03:30+02:00", "01:30+01:00")),
        ("2026-11-01T01:15", "America/New_York", ("01:15-04:00", "01:15-05:00")),
        ("2026-04-05 01:45", "Australia/Lord_Howe", ("01:45+11:00", "01:45+10:30")),
    ],
)
def test_a_time_that_clocks_show_twice_or_never_is_refused_with_both_readings(
    text: str, zone: str, readings: tuple[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"comes twice|does not exist") as refused:
        wall_clock.moment(text, NOW, ZoneInfo(zone))
    said = str(refused.value)
    assert zone in said
    for reading in readings:
        assert f"{text[:10]}T{reading}" in said
        wall_clock.moment(f"{text[:10]}T{reading}", NOW, ZoneInfo(zone))


def test_a_day_begins_where_the_clocks_leave_out_midnight() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 2024-04-26 began at 01:00
    found = wall_clock.moment("2024-04-26", NOW, cairo)
    assert found.astimezone(cairo).isoformat() == "2024-04-26T01:00:00+03:00"


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "18", "1800", "tomorrow noon", "2026-13-01", "Fri Sat 18:00", "6pm"],
)
def test_what_is_not_a_time_says_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match=r"18:00|23:59"):
        wall_clock.moment(text, NOW, BERLIN)


def test_a_moment_is_shown_with_its_offset_and_its_zone() -> None:
    assert wall_clock.shown(NOW, BERLIN) == "Mon 2026-03-02 09:00+01:00 (Europe/Berlin)"


ZONES = sorted(available_timezones())


WALLS = st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001 -- on a wall


@given(WALLS, st.sampled_from(ZONES), st.booleans())
def test_what_is_shown_is_what_was_meant(wall: datetime, name: str, past: bool) -> None:
    zone, text = ZoneInfo(name), wall.isoformat(" ", "minutes")
    try:
        found = wall_clock.moment(text, NOW, zone, past=past)
    except ValueError as e:
        readings = [datetime.fromisoformat(word) for word in str(e).split() if word[:2].isdigit()]
        assert len(readings) == 2
        assert readings[0] != readings[1]
        return
    assert found.astimezone(zone).isoformat(" ", "minutes").startswith(text)


@given(st.text(max_size=20))
def test_no_text_breaks_the_reading_of_a_time(text: str) -> None:
    try:
        found = wall_clock.moment(text, NOW, BERLIN, edge="end")
    except ValueError as e:
        said = str(e)
    else:
        said = found.isoformat()
        assert found.tzinfo is UTC
    assert "\n" not in said

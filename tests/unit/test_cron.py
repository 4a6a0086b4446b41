"""Cron times: cron's weekdays, and the nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import cron, zones

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)
SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # 02:00 becomes 03:00 at 01:00 UTC
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # 03:00 becomes 02:00 at 01:00 UTC


def _series(text: str, tz: str, after: datetime, count: int) -> list[datetime]:
    rule, found = cron.parse(text), [after]
    for _ in range(count):
        found.append(cron.next_after(rule, tz, found[-1]))
    return found[1:]


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1", "Mon"),
        ("mon", "Mon"),
        ("SUN", "Sun"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun"),
        ("fri-sun", "Fri Sat Sun"),
        ("0-2", "Mon Tue Sun"),
        ("0-0", "Sun"),
        ("1-5/2", "Mon Wed Fri"),
        ("*/2", "Tue Thu Sat Sun"),
        ("sat,2", "Tue Sat"),
    ],
)
def test_weekdays_are_those_of_cron(weekday: str, days: str) -> None:
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    found = _series(f"0 2 * * {weekday}", "UTC", monday, len(days.split()))
    assert " ".join(f"{at:%a}" for at in found) == days


def test_of_day_and_weekday_either_is_enough() -> None:
    found = _series("0 0 13 * 5", "UTC", datetime(2026, 3, 1, tzinfo=UTC), 4)
    assert [at.day for at in found] == [6, 13, 20, 27]
    found = _series("0 0 14 * 5", "UTC", datetime(2026, 3, 1, tzinfo=UTC), 4)
    assert [at.day for at in found] == [6, 13, 14, 20]


def test_a_skipped_time_runs_right_after_the_gap() -> None:
    found = _series("30 2 * * *", BERLIN, SPRING - timedelta(days=1), 3)
    assert [f"{at:%d %H:%M}" for at in found] == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_repeated_time_runs_once() -> None:
    found = _series("30 2 * * *", BERLIN, AUTUMN - timedelta(days=1), 3)
    assert [f"{at:%d %H:%M}" for at in found] == ["24 00:30", "25 00:30", "26 01:30"]
    # Also when somebody looks between the two.
    assert _series("30 2 * * *", BERLIN, found[1] + 45 * MINUTE, 1) == found[2:]


@pytest.mark.parametrize("night", [SPRING, AUTUMN])
def test_every_quarter_of_an_hour_goes_on_through_the_night(night: datetime) -> None:
    found = _series("*/15 * * * *", BERLIN, night - timedelta(hours=2), 24)
    assert {b - a for a, b in pairwise(found)} == {15 * MINUTE}


def test_several_skipped_times_are_one() -> None:
    found = _series("0,15,30,45 2 * * *", BERLIN, SPRING - timedelta(hours=3), 2)
    assert [f"{at:%d %H:%M}" for at in found] == ["29 01:00", "30 00:00"]


def test_a_wildcard_runs_at_what_clocks_show_as_in_debians_cron() -> None:
    """cron(8): jobs "specified with wildcards are run based on the new time immediately"."""
    found = _series("*/30 2 * * *", BERLIN, SPRING - timedelta(hours=3), 2)
    assert [f"{at:%d %H:%M}" for at in found] == ["30 00:00", "30 00:30"]
    found = _series("*/30 2 * * *", BERLIN, AUTUMN - timedelta(hours=3), 5)
    assert [f"{at:%d %H:%M}" for at in found][:4] == [
        "25 00:00", "25 00:30", "25 01:00", "25 01:30",
    ]  # fmt: skip
    found = _series("0 */2 * * *", BERLIN, AUTUMN - timedelta(hours=3), 4)
    assert [f"{at:%d %H:%M}" for at in found] == ["24 22:00", "25 00:00", "25 01:00", "25 03:00"]


@pytest.mark.parametrize("hour", ["*", "*/1", "0-23", "0-11,12-23", "0-23/1"])
@pytest.mark.parametrize("night", [SPRING, AUTUMN])
def test_a_rule_for_every_hour_comes_each_hour_however_it_is_written(
    night: datetime, hour: str
) -> None:
    found = _series(f"0 {hour} * * *", BERLIN, night - timedelta(hours=2), 30)
    assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    ("short", "shown"),
    [
        ("@hourly", "02 09:00"),
        ("@daily", "03 00:00"),
        ("@weekly", "08 00:00"),
        ("@monthly", "01 00:00"),
        ("@yearly", "01 00:00"),
        ("@Daily ", "03 00:00"),
    ],
)
def test_short_names_are_those_of_cron(short: str, shown: str) -> None:
    (at,) = _series(short, "UTC", datetime(2026, 3, 2, 8, 20, tzinfo=UTC), 1)
    assert f"{at:%d %H:%M}" == shown
    with pytest.raises(ValueError, match=f"write {short.strip().lower()}"):
        cron.parse(short.strip().removeprefix("@"))


ZONES = st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
# A few days around the changes of all these zones.
MOMENTS = st.one_of(
    st.integers(0, 8 * 1440).map(lambda m: datetime(2026, 4, 1, tzinfo=UTC) + m * MINUTE),
    st.integers(0, 10 * 1440).map(lambda m: datetime(2026, 10, 24, tzinfo=UTC) + m * MINUTE),
    st.integers(0, 8 * 1440).map(lambda m: datetime(2026, 3, 6, tzinfo=UTC) + m * MINUTE),
)


@given(tz=ZONES, moment=MOMENTS, minute=st.integers(0, 59))
def test_a_rule_for_every_hour_is_what_clocks_show(tz: str, moment: datetime, minute: int) -> None:
    at = cron.next_after(cron.parse(f"{minute} * * * *"), tz, moment)
    expected = moment + MINUTE
    while expected.astimezone(ZoneInfo(tz)).minute != minute:
        expected += MINUTE
    assert at == expected


def _by_debians_rule(
    minutes: set[int], hours: set[int], tz: str, moment: datetime, *, by_clock: bool
) -> datetime:
    """Minute by minute: what clocks show, what they have just jumped over, what they repeat."""
    zone, at = ZoneInfo(tz), moment
    while True:
        before = at.astimezone(zone).replace(tzinfo=None)
        at += MINUTE
        local = at.astimezone(zone)
        shown = [local.replace(tzinfo=None)] if by_clock or not local.fold else []
        while not by_clock and (before := before + MINUTE) < local.replace(tzinfo=None):
            shown.append(before)
        if any(wall.minute in minutes and wall.hour in hours for wall in shown):
            return at


NUMBERS = {"minute": range(60), "hour": range(24)}


@given(
    tz=ZONES,
    moment=MOMENTS,
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.sets(st.integers(0, 4), min_size=1, max_size=3),
    wild=st.sampled_from(["", "minute", "hour", "every hour"]),
    step=st.integers(1, 20),
)
def test_every_rule_comes_when_debians_cron_would_run_it(
    tz: str, moment: datetime, minutes: set[int], hours: set[int], wild: str, step: int
) -> None:
    fields = {"minute": ",".join(map(str, minutes)), "hour": ",".join(map(str, hours))}
    found = {"minute": minutes, "hour": hours}
    if wild in fields:
        fields[wild], found[wild] = f"*/{step}", set(NUMBERS[wild][::step])
    elif wild:
        fields["hour"], found["hour"] = "0-23", set(range(24))
    rule = cron.parse(f"{fields['minute']} {fields['hour']} * * *")
    expected = _by_debians_rule(found["minute"], found["hour"], tz, moment, by_clock=bool(wild))
    assert cron.next_after(rule, tz, moment) == expected


@given(tz=ZONES, moment=MOMENTS, hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_a_daily_rule_comes_once_a_day(tz: str, moment: datetime, hour: int, minute: int) -> None:
    zone = ZoneInfo(tz)
    found = _series(f"{minute} {hour} * * *", tz, moment, 4)
    days = [at.astimezone(zone).date() for at in found]
    assert {b - a for a, b in pairwise(days)} == {timedelta(days=1)}
    for at in found:
        local = at.astimezone(zone)
        shown = (local.hour, local.minute)
        before = (at - MINUTE).astimezone(zone)
        if shown == (hour, minute):
            assert local.fold == 0
        else:
            assert (before.hour, before.minute) < (hour, minute) < shown
            assert before.utcoffset() != local.utcoffset()


@given(moment=MOMENTS, step=st.integers(1, 30), weekday=st.integers(0, 7))
def test_the_next_occurrence_is_later_and_there_is_none_before(
    moment: datetime, step: int, weekday: int
) -> None:
    rule = cron.parse(f"*/{step} 3-20 * * {weekday}")
    at = cron.next_after(rule, BERLIN, moment)
    assert at > moment
    assert cron.next_after(rule, BERLIN, at - timedelta(microseconds=1)) == at
    halfway = moment + (at - moment) / 2
    assert cron.next_after(rule, BERLIN, halfway) == at


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 fields"),
        ("@reboot", "1 fields"),
        ("0 */24 * * *", "the step of '*/24' is too long: hour has 0-23"),
        ("*/90 * * * *", "too long"),
        ("0 2 * * * *", "6 fields"),
        ("60 * * * *", "60"),
        ("0 0 * * 8", "'8' is not a valid weekday: 0-7 or sun-sat"),
        ("0 0 * * 4-2", "not a valid weekday"),
        ("0 0 * * 1/0", "not a valid weekday"),
        ("0 0 * * 2nd", "'2nd' is not a valid weekday"),
        ("0 0 * * mon tue", "6 fields"),
        ("x y * * *", "'x' is not a valid minute: 0-59"),
        ("0 0 30 2 *", "never comes"),
    ],
)
def test_what_is_no_cron_time_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"cron time|never comes") as e:
        cron.parse(text)
    assert said in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["", "Berlin", "Europe", "../etc/passwd", "+01:00", "CET-1CEST"])
def test_only_iana_names_are_zones(name: str) -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        zones.checked(name)
    assert zones.checked(BERLIN) == BERLIN


def test_the_system_zone_is_that_of_tz_then_of_etc(tmp_path: Path) -> None:
    assert zones.of_system({}, tmp_path) == "UTC"
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Asia/Kolkata")
    assert zones.of_system({}, tmp_path) == "Asia/Kolkata"
    (tmp_path / "timezone").write_text("America/New_York\n")
    assert zones.of_system({}, tmp_path) == "America/New_York"
    assert zones.of_system({"TZ": ":Europe/Berlin"}, tmp_path) == BERLIN
    assert zones.of_system({"TZ": "CET-1CEST"}, tmp_path) == "America/New_York"

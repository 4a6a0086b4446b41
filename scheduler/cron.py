"""Cron times (minute, hour, day, month, weekday) to instants in UTC, by APScheduler's rules.

Where APScheduler and cron differ, cron wins: Sunday is 0 or 7, and of a day of the month and a
weekday that are both restricted either one is enough. On the nights when clocks change a time that
is skipped runs at the first instant after the gap and one that is repeated runs once; a rule for
every hour follows the hours that really pass. APScheduler is imported late: only jobs that repeat
need it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import tzinfo

    from apscheduler.triggers.cron import CronTrigger

# In cron's order; Sunday stands at both ends.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_INSTANT = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed rule: ``rules`` as APScheduler reads them, of which the earliest counts."""

    text: str
    rules: tuple[str, ...]
    every_hour: bool


def parse(text: str) -> Cron:
    """A crontab's five fields; :class:`ValueError` with one line for anything else."""
    try:
        found = _parse(text)
        comes = _next(found, UTC, datetime(2000, 1, 1, tzinfo=UTC)) is not None
    except ValueError as e:
        raise ValueError(
            f"{text!r} is no cron time ({e}): write minute, hour, day, month and weekday, "
            'e.g. "0 2 * * *" for 02:00 every day'
        ) from e
    if not comes:
        raise ValueError(f"{text!r} never comes: there is no such day in any year")
    return found


def next_after(cron: Cron, tz: str, moment: datetime) -> datetime:
    """The first occurrence after ``moment`` on the clocks of the IANA zone ``tz``, in UTC."""
    zone = ZoneInfo(tz)
    if cron.every_hour:
        found = _next(cron, zone, moment)
        assert found is not None  # parse has seen that it comes
        return found.astimezone(UTC)
    # The rule is read on clocks that never change, which see each time of the day once.
    wall = _next(cron, UTC, moment.astimezone(zone).replace(tzinfo=UTC, fold=0))
    while wall is not None:
        at = _instant(wall, zone)
        if at > moment:
            return at
        wall = _next(cron, UTC, wall)
    raise AssertionError("parse has seen that it comes")


def _parse(text: str) -> Cron:
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} fields, not 5")
    minute, hour, day, month, weekday = fields
    days = "*" if weekday == "*" else _weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        pairs = [(day, days)]
    else:
        pairs = [(day, "*"), ("*", days)]
    rules = tuple(f"{minute} {hour} {d} {month} {w}" for d, w in pairs)
    return Cron(text, rules, every_hour=hour == "*")


def _weekdays(field: str) -> str:
    """Cron's weekdays as a list of APScheduler's names."""
    found: set[str] = set()
    for item in field.split(","):
        match = _WEEKDAY.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is no weekday")
        first = _weekday(match["first"] or "sun")
        last = _weekday(match["last"] or match["first"] or "sat")
        if last == 0 < first:
            last = 7
        step = int(match["step"] or 1)
        if last < first or step < 1:
            raise ValueError(f"{item!r} holds no weekday")
        found.update(WEEKDAYS[first : last + 1 : step])
    return ",".join(sorted(found, key=WEEKDAYS.index))


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text.isdecimal() and int(text) < len(WEEKDAYS):
        return int(text)
    raise ValueError(f"{text!r} is no weekday")


@cache
def _trigger(rule: str, zone: tzinfo) -> CronTrigger:
    from apscheduler.triggers.cron import CronTrigger

    return CronTrigger.from_crontab(rule, timezone=zone)


def _next(cron: Cron, zone: tzinfo, moment: datetime) -> datetime | None:
    later = (moment + _INSTANT).astimezone(UTC)
    found = (_trigger(rule, zone).get_next_fire_time(None, later) for rule in cron.rules)
    return min((f for f in found if f is not None), default=None)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When clocks in ``zone`` first show ``wall``, or jump over it."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return at
    # Clocks jumped: ``at`` lies as far behind the jump as ``wall`` into the gap.
    offset = at.astimezone(zone).utcoffset()
    while (at - _MINUTE).astimezone(zone).utcoffset() == offset:
        at -= _MINUTE
    return at

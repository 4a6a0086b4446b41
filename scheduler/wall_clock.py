"""Times that people write (``18:00``, ``tomorrow 18:00``, ``Fri``, ``2026-12-01``, ``18h``).

A time without an offset is one of the clocks on the wall of a stated time zone. One that these
clocks show twice, or leave out, where they change (RFC 5545, section 3.3.5, would pick one
silently) is refused with both readings.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from scheduler import quantities

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NEAR = {"yesterday": -1, "today": 0, "tomorrow": 1}
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAY = timedelta(days=1)

Edge = Literal["start", "end"]


def moment(
    text: str, now: datetime, zone: ZoneInfo, *, edge: Edge = "start", past: bool = False
) -> datetime:
    """The instant (UTC) that ``text`` means at ``now`` on the clocks of ``zone``.

    A day alone is its ``edge``: the first instant of that day, or of the next one. A time alone is
    its next occurrence, or with ``past`` the last one, as a span counts from now or back from it.
    :class:`ValueError` for anything else, and for a time that lies further ahead than the longest
    span of time, in one line.
    """
    words = text.strip()
    if quantities.has_unit(words):
        span = timedelta(seconds=quantities.duration_s(words))
        return now - span if past else now + span
    last = now + timedelta(seconds=quantities.LONGEST_S)
    try:
        found = _instant(words, now, zone, edge, past).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} lies outside of all calendars") from None
    if found > last:
        raise ValueError(
            f"{text!r} is more than a hundred years ahead: is the year right? The last time that "
            f"is accepted is {last:%Y-%m-%dT%H:%MZ}"
        )
    return found


def is_local(text: str) -> bool:
    """Whether a time that :func:`moment` takes depends on the time zone."""
    words = text.strip()
    if quantities.has_unit(words):
        return False
    try:
        return datetime.fromisoformat(words).tzinfo is None
    except ValueError:
        return True


def shown(moment: datetime, zone: ZoneInfo) -> str:
    """``Fri 2026-12-04 18:00+01:00 (Europe/Berlin)``."""
    local = moment.astimezone(zone)
    offset = local.isoformat()[-6:]
    return f"{local:%a %Y-%m-%d %H:%M}{offset} ({zone.key})"


def _instant(text: str, now: datetime, zone: ZoneInfo, edge: Edge, past: bool) -> datetime:
    here = now.astimezone(zone).replace(tzinfo=None, fold=0)
    day_text, _, time_text = text.replace(",", " ").rpartition(" ")
    at = _time(time_text)
    day = _day(text if at is None else day_text.strip(), here.date(), past=past)
    if day is not None and at is None:
        return _first_instant(day + _DAY if edge == "end" else day, zone)
    if at is not None and (day is not None or not day_text):
        wall = datetime.combine(day or here.date(), at)
        period = timedelta(days=7) if day_text.strip().lower()[:3] in _SHORT else _DAY
        if not day_text or period > _DAY:
            wall = _nearest(wall, here, period, past=past)
        return _resolved(text, wall, zone)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time: write e.g. 18:00, tomorrow 18:00, 2026-12-01T18:00+01:00, "
            "or a span such as 18h"
        ) from None
    return found if found.tzinfo is not None else _resolved(text, found, zone)


_SHORT = {name[:3]: n for n, name in enumerate(_DAYS)}


def _time(text: str) -> time | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups())
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{text!r} is not a time of day: write 00:00 to 23:59")
    return time(hour, minute, second)


def _day(text: str, today: date, *, past: bool) -> date | None:
    """A date, a day relative to today or the nearest such weekday; today counts."""
    word = text.lower()
    if word in _NEAR:
        return today + timedelta(days=_NEAR[word])
    number = next((n for n, name in enumerate(_DAYS) if word in (name, name[:3])), None)
    if number is not None:
        away = (today.weekday() - number if past else number - today.weekday()) % 7
        return today + timedelta(days=-away if past else away)
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _nearest(wall: datetime, here: datetime, period: timedelta, *, past: bool) -> datetime:
    if past:
        return wall - period if wall > here else wall
    return wall + period if wall <= here else wall


def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    """Where clocks leave midnight out, or show it twice, this is the change or the first one."""
    return datetime.combine(day, time(), tzinfo=zone)


def _resolved(text: str, wall: datetime, zone: ZoneInfo) -> datetime:
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None  # a ZoneInfo knows its offsets
    assert after is not None
    if before == after:
        return first
    what = "comes twice" if before > after else "does not exist"
    readings = " or ".join(
        each.astimezone(UTC).astimezone(zone).isoformat(timespec="minutes")
        for each in (first, second)
    )
    raise ValueError(
        f"{text!r} {what} in {zone.key}, where the clocks change then: write {readings}"
    )

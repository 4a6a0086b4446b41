"""Cron times (minute, hour, day, month, weekday) to instants in UTC; cronsim reads the fields.

On days when clocks change Debian's rule holds (cron(8)): a time that is skipped runs at the first
instant after the gap, one that is repeated runs once. A wildcard in minute or hour follows the
clock as it is shown, and so does a rule that names every hour. cronsim is asked on clocks that
never change: its own way with zones expects changes of whole hours (Lord Howe's is half of one).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim.cronsim import CronSim, CronSimError, Field

SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
# Of each field its name, its largest number, and what may stand in it.
_FIELDS = (
    (Field.MINUTE, "minute", 59, "0-59"),
    (Field.HOUR, "hour", 23, "0-23"),
    (Field.DAY, "day of the month", 31, "1-31"),
    (Field.MONTH, "month", 12, "1-12 or jan-dec"),
    (Field.DOW, "weekday", 7, "0-7 or sun-sat; 0 and 7 are Sunday"),
)
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed rule: ``fields`` as cronsim reads them; ``by_clock`` as the module says of it."""

    text: str
    fields: str
    by_clock: bool


def parse(text: str) -> Cron:
    """A crontab's five fields, or a short name; :class:`ValueError` with one line for all else."""
    try:
        found = _parse(text)
    except ValueError as e:
        raise ValueError(
            f"{text!r} cannot be read as a cron time ({e}): write minute, hour, day, month and "
            f'weekday, e.g. "0 2 * * *" for 02:00 every day, or one of {", ".join(SHORT)}'
        ) from e
    try:
        next(CronSim(found.fields, datetime(2000, 1, 1)))  # noqa: DTZ001 -- a clock without a zone
    except (CronSimError, StopIteration) as e:
        raise ValueError(f"{text!r} never comes: no year has such a day") from e
    return found


def next_after(cron: Cron, tz: str, moment: datetime) -> datetime:
    """The first occurrence after ``moment`` on the clocks of the IANA zone ``tz``, in UTC."""
    zone = ZoneInfo(tz)
    since, local = moment, moment.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    if not cron.by_clock:
        return next(at for w in CronSim(cron.fields, wall) if (at := _shown(w, zone)) > moment)
    while True:
        offset = local.utcoffset() or timedelta()
        at = (next(CronSim(cron.fields, wall)) - offset).replace(tzinfo=UTC)
        change = _change(zone, since, at)
        if change is None:
            return at
        # Clocks change before: looked for again on the new ones, their first instant included.
        since, local = change, change.astimezone(zone)
        wall = local.replace(tzinfo=None, fold=0) - _SECOND


def _parse(text: str) -> Cron:
    rule = text.strip().lower()
    if f"@{rule}" in SHORT:
        raise ValueError(f"write @{rule}")
    fields = SHORT.get(rule, rule).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"it has {len(fields)} fields, not {len(_FIELDS)}")
    for field, (kind, name, last, allowed) in zip(fields, _FIELDS, strict=True):
        for item in field.split(","):
            try:
                kind.parse(_read(item))
            except CronSimError as e:
                raise ValueError(f"{item!r} is not a valid {name}: {allowed}") from e
            step = item.partition("/")[2]
            if step and int(step) > last:
                raise ValueError(f"the step of {item!r} is too long: {name} has {allowed}")
    minute, hour = fields[:2]
    every_hour = Field.HOUR.parse(hour) == set(range(24))
    return Cron(text, _read(" ".join(fields)), every_hour or "*" in {minute[0], hour[0]})


def _read(field: str) -> str:
    """As cronsim reads it; a week may end with Sunday, also by its name."""
    return field.upper().replace("-SUN", "-7")


def _shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """When clocks in ``zone`` first show ``wall``, or jump over it."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # Clocks jumped: ``at`` lies as far behind the jump as ``wall`` into the gap.
    return _change(zone, at - _DAY, at) or at


def _change(zone: ZoneInfo, since: datetime, until: datetime) -> datetime | None:
    """The first minute after ``since``, up to ``until``, at which clocks are set otherwise."""
    since = since.astimezone(UTC).replace(second=0, microsecond=0)
    offset = since.astimezone(zone).utcoffset()
    while since < until:
        # No zone changes twice a day.
        after = min(since + _DAY, until)
        if after.astimezone(zone).utcoffset() == offset:
            since = after
            continue
        while after - since > _MINUTE:
            half = since + (after - since) // _MINUTE // 2 * _MINUTE
            same = half.astimezone(zone).utcoffset() == offset
            since, after = (half, after) if same else (since, half)
        return after
    return None

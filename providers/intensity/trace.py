"""A recorded series in a CSV file: ``timestamp_utc,region,g_per_kwh`` (``.gz`` too).

``timestamp_utc`` is the start of a period, ``region`` the grid zone; rows of one zone stand in
order of time. Where no column ``ends_utc`` says when a period ends, the step is inferred, also
where it changes; a hole stays a hole. Further columns are ignored. The values serve as forecast
(perfect foresight) and as actuals.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import math
import zlib
from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from providers.errors import BadData, NoData, TooLittle
from providers.series import Factors, Flow, Kind, Series, Signal, SourceInfo, from_unix, to_unix
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from providers.surroundings import Surroundings

COLUMNS = ("timestamp_utc", "region", "g_per_kwh")
ENDS = "ends_utc"
# What the figures are, where a file says it.
FACTS: Mapping[str, tuple[str, ...]] = {
    "signal": get_args(Signal),
    "factors": get_args(Factors),
    "flow": get_args(Flow),
}
# So many equal differences in a row are a step of their own, not holes.
RUN = 3
# So many zones are named where one is asked for that the file does not have.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """One zone's rows as they stand in the file, by column; the header is row 1.

    ``ends`` is empty where the file does not have that column.
    """

    numbers: array[int] = field(default_factory=lambda: array("q"))
    stamps: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


class Settings(ProviderSettings):
    """``path`` is relative to the config file; the rest says what the figures are.

    The file may say it itself, in columns of these names; else the signal is the average.
    """

    path: str
    source: str | None = None
    signal: Signal | None = None
    factors: Factors | None = None
    flow: Flow | None = None


class Trace:
    """A file as a source of forecasts and actuals; read again when it changes."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings, self._path = settings, path
        self._stamp = (0, -1)
        self._rows: dict[str, Rows] = {}
        self._series: dict[str, Series] = {}
        self._facts: dict[str, Any] = {}
        self.info = SourceInfo(
            name=settings.source or f"trace {path.name}",
            title=f"recorded values in {path}",
            signal=settings.signal or "average",
            factors=settings.factors,
            flow=settings.flow,
            licence="the user's own file",
            step_s=None,
            horizon_h=None,
            has_actuals=True,
            shiftable=True,
        )

    def zones(self) -> frozenset[str] | None:
        """The zones of the file."""
        self._load()
        return frozenset(self._rows)

    def in_order(self) -> tuple[str, ...]:
        """The zones of the file, in order of appearance."""
        self._load()
        return tuple(self._rows)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """The recorded values over ``[start, end)``, told now."""
        return self._part(zone, start, end, now, "forecast")

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """The recorded values over ``[start, end)``."""
        return self._part(zone, start, end, end, "actual")

    def _part(
        self, zone: str, start: datetime, end: datetime, issued_at: datetime, kind: Kind
    ) -> Series:
        low, high = to_unix(start), to_unix(end)
        whole = self.whole(zone)
        part = whole.clip(low, high)
        if not len(part) and low < high:
            raise TooLittle(
                f"trace {self._path.name} covers {zone} from {_shown(whole.starts[0])} to "
                f"{_shown(whole.ends[-1])}, and has nothing from {_shown(low)} to {_shown(high)}"
            )
        return part.told(issued_at, kind)

    def whole(self, zone: str) -> Series:
        """All recorded values of a zone; :class:`NoData` where the file has none."""
        self._load()
        if zone not in self._rows:
            near = difflib.get_close_matches(zone, self._rows, n=SHOWN, cutoff=0.0)
            more = f" and {len(self._rows) - SHOWN} more" if len(self._rows) > SHOWN else ""
            raise NoData(
                f"trace {self._path.name} has no zone {zone}: it has {', '.join(near)}{more}"
            )
        if zone not in self._series:
            rows = self._rows[zone]
            times, values = _parse(rows, self._path.name)
            if rows.ends:
                ends = _ends(rows, times, self._path.name)
            elif len(times) > 1:
                ends = times + _steps(times)
            else:
                ends = times + self._usual_step(zone)
            self._series[zone] = Series(
                zone=zone,
                kind="forecast",
                issued_at=from_unix(self._stamp[0] / 1e9),
                starts=times,
                ends=ends,
                g_per_kwh=values,
                low=values,
                high=values,
                # A view of one string: a year of names would outweigh the numbers.
                sources=np.broadcast_to(np.array(self.info.name), len(times)),
                **self._facts,
            )
        return self._series[zone]

    def _usual_step(self, zone: str) -> float:
        """The most common step of all zones, for one that has a single row."""
        others = [_parse(rows, self._path.name)[0] for rows in self._rows.values()]
        gaps = np.concatenate([np.diff(times) for times in others])
        if not len(gaps):
            raise BadData(
                f"trace {self._path.name} has one row for {zone}: its step cannot be told from "
                "that; add the next row"
            )
        return _most_common(gaps)

    def _load(self) -> None:
        """Sort the file's lines by zone; numbers are read when a zone is asked for."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return
            rows, stated = _by_zone(self._path)
            self._facts = self._agreed(stated)
            self._rows, self._series, self._stamp = rows, {}, stamp
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as e:
            said = getattr(e, "strerror", None) or e
            raise BadData(f"trace {self._path} cannot be read: {said}") from e

    def _agreed(self, stated: Mapping[str, str]) -> dict[str, Any]:
        """Signal, factors and flow by the settings and by the file, which must not differ."""
        facts: dict[str, Any] = {name: getattr(self.info, name) for name in FACTS}
        for name, value in stated.items():
            if value not in FACTS[name]:
                raise BadData(
                    f"trace {self._path.name}: {name} {value!r} is none of {', '.join(FACTS[name])}"
                )
            if getattr(self._settings, name) not in (None, value):
                raise BadData(
                    f"trace {self._path.name} says that its {name} is {value}, not "
                    f"{getattr(self._settings, name)} as it was set: which is it?"
                )
        return {**facts, **stated}


def _by_zone(path: Path) -> tuple[dict[str, Rows], dict[str, str]]:
    """The file's rows by zone, and what it says that its figures are."""
    raw = path.read_bytes()
    if not raw:
        raise BadData(f"trace {path.name} is empty (0 bytes): fetch it again")
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise BadData(
            f"trace {path.name} has no column {', '.join(missing)}: its header is "
            f"{','.join(header)!r}"
        )
    at, where, value = (header.index(name) for name in COLUMNS)
    until = header.index(ENDS) if ENDS in header else None
    facts = {name: header.index(name) for name in FACTS if name in header}
    told: dict[str, set[str]] = {name: set() for name in facts}
    width = max(at, where, value, until or 0, *facts.values())
    rows: dict[str, Rows] = {}
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) <= width:
            raise BadData(f"trace {path.name}, row {number}: {len(row)} columns, too few")
        zone = rows.get(row[where])
        if zone is None:
            zone = rows[row[where]] = Rows()
        zone.numbers.append(number)
        zone.stamps.append(row[at])
        zone.values.append(row[value])
        if until is not None:
            zone.ends.append(row[until])
        for name, column in facts.items():
            told[name].add(row[column].strip())
    if not rows:
        raise BadData(f"trace {path.name} is empty: it has a header and no rows")
    for name, values in told.items():
        if len(values) > 1:
            named = " and ".join(sorted(value or "none" for value in values))
            raise BadData(
                f"trace {path.name} has more than one {name}, {named}: give each a file of its own"
            )
    return rows, {name: value for name, (value,) in told.items() if value}


def _parse(rows: Rows, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unix seconds and g/kWh of one zone's rows, in order; every fault names its row."""
    numbers, stamps, texts = rows.numbers, rows.stamps, rows.values
    times = np.fromiter(_seconds(numbers, stamps, name), np.float64, len(stamps))
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError:
        values = np.array([_number(text) for text in texts])
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        i = int(wrong[0])
        raise BadData(
            f"trace {name}, row {numbers[i]}: g_per_kwh {texts[i]!r} is no number from 0 up: "
            "leave the row out where nothing is known"
        )
    order = np.diff(times)
    wrong = np.flatnonzero(order <= 0)
    if len(wrong):
        i = int(wrong[0]) + 1
        fault = "repeats" if order[i - 1] == 0 else "comes before"
        raise BadData(
            f"trace {name}, row {numbers[i]}: {stamps[i]} {fault} row {numbers[i - 1]} of the "
            "same region: sort the file by time and keep each period once"
        )
    return times, values


def _ends(rows: Rows, times: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """When each period ends, as the file says it (Unix seconds)."""
    ends = np.fromiter(_seconds(rows.numbers, rows.ends, name), np.float64, len(times))
    wrong = np.flatnonzero((ends <= times) | (ends > np.append(times[1:], np.inf)))
    if len(wrong):
        i = int(wrong[0])
        raise BadData(
            f"trace {name}, row {rows.numbers[i]}: {ENDS} {rows.ends[i]} is not after the row's "
            "own time, or after the next row's"
        )
    return ends


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(numbers: Iterable[int], stamps: Iterable[str], name: str) -> Iterator[float]:
    for number, stamp in zip(numbers, stamps, strict=True):
        try:
            moment = datetime.fromisoformat(stamp.strip())
        except ValueError:
            raise BadData(f"trace {name}, row {number}: {stamp!r} is no ISO 8601 time") from None
        # The column's name says UTC, so a time without offset is meant so.
        yield (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _most_common(gaps: NDArray[np.float64]) -> float:
    counts: Counter[float] = Counter(gaps.tolist())
    return min(counts, key=lambda gap: (-counts[gap], gap))


def _steps(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long each value holds: to the next one, or over a hole as long as its step was.

    A difference is a step if it is no longer than the most common one, or stands in a run of
    three equal ones; else a hole lies there.
    """
    gaps = np.diff(times)
    change = np.flatnonzero(np.diff(gaps)) + 1
    bounds = np.concatenate(([0], change, [len(gaps)]))
    run = np.repeat(np.diff(bounds), np.diff(bounds))
    regular = (gaps <= _most_common(gaps)) | (run >= RUN)
    last = np.maximum.accumulate(np.where(regular, np.arange(len(gaps)), -1))
    first_regular = gaps[np.argmax(regular)]
    known = np.where(last >= 0, gaps[np.maximum(last, 0)], first_regular)
    steps = np.where(regular, gaps, np.minimum(known, gaps))
    return np.append(steps, known[-1])


def _shown(seconds: float) -> str:
    return f"{from_unix(seconds):%Y-%m-%dT%H:%MZ}"


def build(settings: Mapping[str, Any], here: Surroundings) -> Trace:
    """A source that reads one file."""
    given = checked(Settings, settings, "trace")
    return Trace(given, here.base_dir / Path(given.path).expanduser())

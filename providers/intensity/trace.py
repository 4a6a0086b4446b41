"""A recorded series in a CSV file: ``timestamp_utc,region,g_per_kwh`` (``.gz`` too).

``timestamp_utc`` is the start of a period, ``region`` the grid zone; rows of one zone stand in
order of time. Where no column ``ends_utc`` says when a period ends, the step is inferred, also
where it changes, from stamps that jitter too (:mod:`providers.intensity.stamps`); a hole stays a
hole. Further columns are ignored. The values serve as forecast (perfect foresight) and as actuals.
Exports of portals and files with other columns: :mod:`providers.intensity.trace_columns`.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import math
import zlib
from array import array
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from providers.arrays import np
from providers.errors import BadData, NoData, TooLittle
from providers.intensity import points, stamps
from providers.intensity.fields import EARLIEST_S, LATEST_S
from providers.intensity.trace_columns import ENDS, FACTS, Column, Layout, Value, layout_of
from providers.series import Factors, Flow, Kind, Series, Signal, SourceInfo, from_unix, to_unix
from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from providers.surroundings import Surroundings

# So many zones are named where one is asked for that the file does not have.
SHOWN = 5


@dataclass(slots=True)
class Rows:
    """One zone's rows as they stand in the file, by column; the header is row 1.

    ``ends`` is empty where the file does not have that column. ``blank`` rows are left out;
    ``estimated`` is how many of the rest are estimates by the file's own word, ``moved`` how many
    were moved to stand in order of time.
    """

    numbers: array[int] = field(default_factory=lambda: array("q"))
    stamps: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    blank: int = 0
    estimated: int = 0
    moved: int = 0

    def sort(self, order: Sequence[int]) -> None:
        """Put them in another order."""
        self.moved = sum(i != j for i, j in enumerate(order))
        self.numbers = array("q", (self.numbers[i] for i in order))
        for column in (self.stamps, self.values, self.ends):
            column[:] = [column[i] for i in order if column]


class Settings(ProviderSettings):
    """``path`` is relative to the config file; the rest says what the figures are.

    The file may say it itself, in columns of these names; else the signal is the average. Of an
    export with several values ``factors`` or ``kind`` chooses one. ``columns`` names those of a
    file of another form, ``zone`` whose values they are where no column says it.
    """

    path: str
    source: str | None = None
    signal: Signal | None = None
    factors: Factors | None = None
    flow: Flow | None = None
    kind: Value | None = None
    columns: dict[Column, str] = Field(default_factory=dict)
    zone: str | None = None


class Trace:
    """A file as a source of forecasts and actuals; read again when it changes."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings, self._path = settings, path
        self._stamp = (0, -1)
        self._rows: dict[str, Rows] = {}
        self._series: dict[str, Series] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._facts: dict[str, Any] = {}
        self._layout: Layout | None = None
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
        # The longest one: of a cut piece it could not be seen any more.
        step_s = float(np.max(whole.ends - whole.starts))
        if step_s != self.info.step_s:
            self.info = replace(self.info, step_s=step_s)
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
            told, values = _parse(rows, self._path.name)
            times = told
            if rows.ends:
                ends = _ends(rows, times, self._path.name)
            elif len(times) > 1:
                times = stamps.snapped(told)
                ends = times + stamps.lengths(times)
            else:
                ends = times + self._usual_step(zone)
            self._notes[zone] = tuple(self._remarks(zone, rows, np.abs(times - told)))
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

    def notes(self, zone: str) -> tuple[str, ...]:
        """What was done to the rows of a zone that people should know."""
        self.whole(zone)
        return self._notes[zone]

    def _remarks(self, zone: str, rows: Rows, moved_s: NDArray[np.float64]) -> Iterator[str]:
        if moved := int(np.count_nonzero(moved_s)):
            yield (
                f"{zone}: {moved} of {len(moved_s)} time stamps lie beside round times and are "
                f"moved to them, by {np.max(moved_s):.3g} s at most"
            )
        if rows.moved:
            yield f"{zone}: {rows.moved} rows were not in order of time: the rows are sorted by it"
        if rows.blank:
            yield f"{zone}: rows without a value, which are gaps: {rows.blank}"
        if rows.estimated:
            yield f"{zone}: {rows.estimated} of {len(moved_s)} values are estimates, says the file"
        assert self._layout is not None  # the file was read
        if not self._layout.utc and datetime.fromisoformat(rows.stamps[0].strip()).tzinfo is None:
            yield f"{zone}: times without an offset are read as UTC"

    def _usual_step(self, zone: str) -> float:
        """The usual step of all zones, for one that has a single row."""
        assert self._layout is not None  # the file was read
        if self._layout.step_s is not None:
            return self._layout.step_s
        others = [_parse(rows, self._path.name)[0] for rows in self._rows.values()]
        gaps = np.concatenate([np.diff(times) for times in others])
        if not len(gaps):
            raise BadData(
                f"trace {self._path.name} has one row for {zone}: its step cannot be told from "
                "that; add the next row"
            )
        return stamps.usual_step(gaps)

    def _load(self) -> None:
        """Sort the file's lines by zone; numbers are read when a zone is asked for."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return
            rows, stated, self._layout = _by_zone(self._path, self._settings)
            self._facts = self._agreed(stated)
            self._rows, self._series, self._notes, self._stamp = rows, {}, {}, stamp
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


def _by_zone(path: Path, settings: Settings) -> tuple[dict[str, Rows], dict[str, str], Layout]:
    """The file's rows by zone, what it says that its figures are, and its columns."""
    raw = path.read_bytes()
    if not raw:
        raise BadData(f"trace {path.name} is empty (0 bytes): fetch it again")
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    first = text.partition("\n")[0]
    # Spreadsheets of many countries write semicolons.
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip() for name in next(reader, [])]
    chosen = {"factors": settings.factors, "kind": settings.kind}
    layout = layout_of(path.name, header, settings.columns, settings.zone, chosen)
    told: dict[str, set[str]] = {name: set() for name in layout.facts}
    rows: dict[str, Rows] = {}
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) < layout.width:
            raise BadData(f"trace {path.name}, row {number}: {len(row)} columns, too few")
        name = layout.zone if layout.region is None else row[layout.region]
        zone = rows.get(name)
        if zone is None:
            zone = rows[name] = Rows()
        _add(zone, number, row, layout)
        for fact, column in layout.facts.items():
            told[fact].add(row[column].strip())
    if not any(zone.stamps for zone in rows.values()):
        raise BadData(f"trace {path.name} is empty: it has a header and no rows")
    for name, values in told.items():
        if len(values) > 1:
            named = " and ".join(sorted(value or "none" for value in values))
            raise BadData(
                f"trace {path.name} has more than one {name}, {named}: give each a file of its own"
            )
    stated = {name: value for name, (value,) in told.items() if value}
    return {k: v for k, v in rows.items() if v.stamps}, stated | dict(layout.known), layout


def _add(zone: Rows, number: int, row: Sequence[str], layout: Layout) -> None:
    value = row[layout.value]
    if layout.blanks and not value.strip():
        zone.blank += 1
        return
    zone.numbers.append(number)
    zone.stamps.append(row[layout.time])
    zone.values.append(value)
    if layout.ends is not None:
        zone.ends.append(row[layout.ends])
    if layout.estimated is not None:
        zone.estimated += row[layout.estimated].strip().casefold() == "true"


def _parse(rows: Rows, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unix seconds and g/kWh of one zone's rows, sorted by time; every fault names its row."""
    times = np.fromiter(_seconds(rows.numbers, rows.stamps, name), np.float64, len(rows.stamps))
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        times = times[order]
        rows.sort(order.tolist())
    numbers, texts = rows.numbers, rows.values
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError:
        values = np.array([_number(text) for text in texts])
    wrong = np.flatnonzero(~((values >= 0) & (values <= points.MOST_G_PER_KWH)))
    if len(wrong):
        i = int(wrong[0])
        fault = "not a number: leave the row out where nothing is known"
        if not math.isnan(values[i]):
            fault = f"an intensity {points.impossible(float(values[i]))}"
        raise BadData(f"trace {name}, row {numbers[i]}: g_per_kwh {texts[i]!r} is {fault}")
    repeated = np.flatnonzero(np.diff(times) == 0)
    if len(repeated):
        i = int(repeated[0]) + 1
        raise BadData(
            f"trace {name}, row {numbers[i]}: {rows.stamps[i]} repeats row {numbers[i - 1]} of the "
            "same region: keep each period once"
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
        # Most columns' names say UTC, so a time without offset is meant so.
        found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if not EARLIEST_S <= found <= LATEST_S:
            raise BadData(
                f"trace {name}, row {number}: {stamp!r} is outside {_shown(EARLIEST_S)[:4]} to "
                f"{_shown(LATEST_S)[:4]}"
            )
        yield found


def _shown(seconds: float) -> str:
    return f"{from_unix(seconds):%Y-%m-%dT%H:%MZ}"


def build(settings: Mapping[str, Any], here: Surroundings) -> Trace:
    """A source that reads one file."""
    given = checked(Settings, settings, "trace")
    return Trace(given, here.base_dir / Path(given.path).expanduser())

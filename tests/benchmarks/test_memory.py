"""What a year of memory costs: bytes on disk in a real database, and the time of a look-up.

Random walks that are told anew every half hour and revised a little: harder to pack than what
sources tell, whose days are alike.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.series import Series, from_unix
from scheduler.store import Store
from scheduler.store.forecasts import row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.benchmark

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
STEP_S = 1800.0
ISSUES = 17_520
REGIONS = 50
GB = 1e9
MOST = 2 * GB
SOURCE = "source:neso"
CHAIN = "neso,energy_charts,forecaster,climatology"


def _walk(rng: np.random.Generator, steps: int, step_s: float) -> NDArray[np.float64]:
    hours = np.arange(steps) * step_s / 3600
    walk = np.cumsum(rng.normal(0, 40 * np.sqrt(step_s / 86400), steps))
    # Drawn back to its level, so that a year stays on the scale of a grid.
    walk -= np.convolve(walk, np.ones(336) / 336, mode="same")
    return np.asarray(np.maximum(180 + 60 * np.sin(hours * np.pi / 12) + walk, 5.0))


def _issues(kind: str) -> Iterator[Series]:
    """A zone's forecasts of a year, one each half hour.

    ``whole``: 48 h in half hours, whole numbers. ``band``: 120 h in hours, low, value and high
    with one decimal.
    """
    rng = np.random.default_rng(7)
    step_s, cells, decimals = (1800.0, 96, 0) if kind == "whole" else (3600.0, 120, 1)
    truth = _walk(rng, ISSUES + 2 * cells + 2, step_s)
    ahead = np.sqrt(np.arange(cells) + 1)
    error = rng.normal(0, 1, cells)
    for n in range(ISSUES):
        at_s = BEGIN.timestamp() + n * STEP_S
        first = int(n * STEP_S // step_s)
        # Half of the error stays from issue to issue.
        error = 0.9 * error + np.sqrt(1 - 0.81) * rng.normal(0, 1, cells)
        value = np.round(np.maximum(truth[first : first + cells] + error * ahead, 1), decimals)
        width = np.round(3 * ahead, decimals) if kind == "band" else 0.0
        starts = BEGIN.timestamp() + (first + np.arange(cells)) * step_s
        yield Series(
            zone="GB",
            signal="average",
            kind="forecast",
            issued_at=from_unix(at_s + 11.25),
            starts=starts,
            ends=starts + step_s,
            g_per_kwh=value,
            low=np.round(np.maximum(value - width, 0), decimals),
            high=np.round(value + width, decimals),
            sources=np.full(cells, "NESO national forecast"),
            factors="lifecycle",
            flow="consumption",
        )


def _fill(store: Store, keys: tuple[str, ...], kind: str) -> None:
    with store._database.write() as session:
        for series in _issues(kind):
            for key in keys:
                session.add(row_of(key, series, series.issued_at, ()))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("whole", ("source:neso", CHAIN)),
        ("band", ("source:other",)),
        ("band", ("source:other", CHAIN)),
    ],
    ids=["whole-twice", "band", "band-twice"],
)
def test_a_year_of_forecasts_fits_on_a_disk(
    kind: str, keys: tuple[str, ...], tmp_path: Path
) -> None:
    """One zone and year, rows and indexes; fifty of them stay below 2 GB."""
    store = Store(tmp_path, BEGIN)
    empty = _size(tmp_path)
    _fill(store, keys, kind)
    store.close()
    grown = _size(tmp_path) - empty
    rows = ISSUES * len(keys)
    print(
        f"\n{kind}, {len(keys)} row(s) an issue: {grown / rows:.0f} bytes a row, "
        f"{REGIONS} zones x {ISSUES} issues: {REGIONS * grown / GB:.2f} GB"
    )
    assert REGIONS * grown < MOST


# Issue by issue all zones, as a daemon writes them: a zone's rows lie far apart.
SPREAD = """
    WITH RECURSIVE z(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM z WHERE n < {zones})
    INSERT INTO {table} ({columns}) SELECT {values} FROM {table} t CROSS JOIN z
"""


def _spread(folder: Path, table: str) -> None:
    """The one zone's rows again for all the others."""
    with closing(sqlite3.connect(folder / "lowtide.db")) as raw, raw:
        told = [row[1] for row in raw.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
        values = ", ".join("'Z' || z.n" if name == "zone" else f"t.{name}" for name in told)
        columns = ", ".join(told)
        raw.execute(SPREAD.format(zones=REGIONS - 1, table=table, columns=columns, values=values))


def test_a_full_table_is_quick_to_look_up(tmp_path: Path, seconds: Callable[..., float]) -> None:
    store = Store(tmp_path, BEGIN)
    keys = (SOURCE, CHAIN)
    _fill(store, keys, "whole")
    rng = np.random.default_rng(11)
    values = np.round(_walk(rng, ISSUES, STEP_S))
    starts = BEGIN.timestamp() + np.arange(ISSUES) * STEP_S
    names = np.full(ISSUES, "NESO national")
    year = Series("GB", "average", "actual", BEGIN, starts, starts + STEP_S, values, values,
                  values, names)  # fmt: skip
    end = from_unix(float(year.ends[-1]))
    first_s = seconds(lambda: store.actuals.remember("neso", year, end), runs=1)
    store.close()
    for table in ("forecast", "actual"):
        _spread(tmp_path, table)
    size = _size(tmp_path)
    store = Store(tmp_path, BEGIN)
    low, high = BEGIN.timestamp(), end.timestamp()
    mid = (low + high) / 2
    forecasts, actuals = store.forecasts, store.actuals
    looks: dict[str, Callable[[], object]] = {
        "newest": lambda: forecasts.newest(CHAIN, "Z7"),
        "in_force, of a day": lambda: forecasts.in_force(CHAIN, "Z7", mid, mid + 86400),
        "last_told, of a day": lambda: forecasts.last_told(CHAIN, "Z7", mid, mid + 86400),
        "known, of a year": lambda: actuals.known("Z7", "neso", low, high),
        "checked, of a year": lambda: actuals.checked("Z7", "neso", low, high),
        "stored, of a zone": lambda: actuals.stored("Z7"),
        "stored, of all": actuals.stored,
        "the year told again": lambda: actuals.remember("neso", year, end),
        "every issue of an hour": lambda: list(forecasts.received(mid, mid + 3600, "source:")),
    }
    found = actuals.known("Z7", "neso", low, high)
    assert found is not None
    assert np.array_equal(found.g_per_kwh, values)
    print(f"\n{REGIONS} zones, {2 * ISSUES * REGIONS} forecasts: {size / GB:.2f} GB")
    print(f"{1000 * first_s:9.1f} ms  the year told first")
    for name, look in looks.items():
        assert look()
        print(f"{1000 * seconds(look):9.1f} ms  {name}")
    store.close()
    (tmp_path / "lowtide.db").unlink()
    assert size < MOST

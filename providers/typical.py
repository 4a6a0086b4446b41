"""The embedded tables of typical intensity: their text, and which zones stand in them.

Apart from the source that reads them, so that a zone's name can be checked without numpy.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from providers.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "climatology (Electricity Maps)"
FOLDER = "data/climatology"
TABLE = f"{FOLDER}/electricitymaps-2022-month-hour.csv.gz"
SHAPE_YEAR = 2022
YEARLY = f"{FOLDER}/electricitymaps-yearly-2021-2025.csv"
# A level serves this year and the next, until a newer table is shipped.
YEARS_AHEAD = 2
# The part of all zones whose mean of a following year is to lie inside the band.
INSIDE = 0.9


@cache
def table() -> str:
    """The hourly table as text; the lines of a zone stand together, by month and hour."""
    return _whole(TABLE, lambda raw: gzip.decompress(raw).decode())


@cache
def shapes() -> dict[str, int]:
    """The zones with an hourly shape, and where in the table each begins."""
    found = re.finditer(r"^([^,\n]+),1,0,", table(), re.MULTILINE)
    return {match[1]: match.start() for match in found}


@cache
def yearly() -> dict[str, dict[int, float]]:
    """The mean intensity of each year by zone, g/kWh."""
    found: dict[str, dict[int, float]] = {}
    for row in csv.DictReader(_whole(YEARLY, bytes.decode).splitlines()):
        found.setdefault(row["zone"], {})[int(row["year"])] = float(row["g_per_kwh"])
    return found


@cache
def zones() -> frozenset[str]:
    """Every zone of either table."""
    return frozenset(shapes()) | frozenset(yearly())


def level(zone: str, until: int | None = None) -> tuple[float, int] | None:
    """The newest yearly mean of a zone up to the year ``until``, g/kWh, and its year."""
    known = {y: g for y, g in yearly().get(zone, {}).items() if until is None or y <= until}
    return (known[max(known)], max(known)) if known else None


@cache
def spread(years: int | None, until: int | None = None) -> float:
    """By which factor a yearly mean changes at most in nine tenths of all cases.

    Over all zones and all pairs of years up to ``until`` that are no more than ``years`` apart
    (None: any); a rise and a fall count alike.
    """
    changes = sorted(
        abs(math.log(later / before))
        for means in yearly().values()
        for year, before in means.items()
        for next_year, later in means.items()
        if 0 < next_year - year <= (years or math.inf) and next_year <= (until or math.inf)
    )
    return math.exp(changes[math.ceil(INSIDE * len(changes)) - 1])


def _whole(name: str, read: Callable[[bytes], str]) -> str:
    try:
        return read((files("providers") / name).read_bytes())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise BadData(f"{NAME}: the embedded table is damaged ({e}): reinstall lowtide") from e

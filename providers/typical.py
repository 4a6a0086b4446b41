"""The embedded table of typical intensity: its text, and which zones stand in it.

Apart from the source that reads it, so that a zone's name can be checked without numpy.
"""

from __future__ import annotations

import gzip
import re
import zlib
from functools import cache
from importlib.resources import files

from providers.errors import BadData

NAME = "climatology (Electricity Maps 2022)"
TABLE = "data/climatology/electricitymaps-2022-month-hour.csv.gz"


@cache
def table() -> str:
    """The whole table; the lines of a zone stand together."""
    try:
        return gzip.decompress((files("providers") / TABLE).read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise BadData(f"{NAME}: the embedded table is damaged ({e}): reinstall lowtide") from e


@cache
def zones() -> dict[str, int]:
    """Where in the table each zone begins."""
    found = re.finditer(r"^([^,\n]+),1,0,", table(), re.MULTILINE)
    return {match[1]: match.start() for match in found}

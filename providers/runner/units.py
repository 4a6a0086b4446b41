"""What a job wrote to ``$LOWTIDE_UNITS``. It is the job's own file, and may be anything."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from providers.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MIB = 1 << 20
# Read whole up to here: a million lines such as `tokens=4096`, in about a second.
LIMIT_BYTES = 16 * MIB
# Of a longer file: what a job has reached stands at its end.
TAIL_BYTES = MIB
# A name has at most 100 characters.
LONGEST_LINE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Written:
    """``name=value`` lines in the order in which they were written.

    ``part`` says why they are not all of them, so that nothing can be summed; empty: they are.
    """

    lines: Iterable[tuple[str, float]] = ()
    part: str = ""


def read_units(path: Path) -> Written:
    """The lines of a units file, as they are gone through; other lines do not count.

    A symbolic link, a pipe or a device is not read; of a file longer than 16 MiB the last one is.
    """
    try:
        file = open_regular(path, follow=False)
    except FileNotFoundError:
        return Written()
    except OSError as e:
        return Written(part=f"$LOWTIDE_UNITS cannot be read: {e.strerror}")
    with file:
        size = os.fstat(file.fileno()).st_size
        if size <= LIMIT_BYTES:
            return Written(_lines(file.read(LIMIT_BYTES)))
        file.seek(size - TAIL_BYTES)
        file.readline()  # the rest of a line
        return Written(
            _lines(file.read(TAIL_BYTES)),
            f"$LOWTIDE_UNITS has {size / MIB:.0f} MiB, of which only the last {TAIL_BYTES // MIB} "
            f"is read: write fewer lines (at most {LIMIT_BYTES // MIB} MiB are summed)",
        )


def _lines(content: bytes) -> Iterator[tuple[str, float]]:
    for line in BytesIO(content):
        if len(line) > LONGEST_LINE_BYTES:
            continue
        name, equals, number = line.decode("utf-8", errors="replace").partition("=")
        try:
            value = float(number)
        except ValueError:
            continue
        if equals and name.strip() and math.isfinite(value):
            yield name.strip(), value

"""Light tables as text, at any width: the one door to rich, which is imported to draw one."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import TYPE_CHECKING

from scheduler.texts import printable_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import Console
    from rich.table import Table as RichTable

# A column of text that is narrower than this is hard to read: before that, others are left out.
READABLE = 14


class Table:
    """Rows below named columns, laid out once the width is known; no cell steers a terminal."""

    def __init__(
        self, columns: Sequence[str], whole: Collection[str], optional: Sequence[str]
    ) -> None:
        self._columns = columns
        self._whole = whole
        self._optional = optional
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """One cell a column."""
        self._rows.append(tuple(map(printable_lines, cells)))

    def fitting(self, console: Console) -> RichTable:
        """Without optional columns, in their order, until the others can be read."""
        from rich.measure import Measurement

        left_out: set[str] = set()
        # As wide as all rows together: the widest cell of each column.
        widest = tuple(
            max(cells, key=_width, default="") for cells in zip(*self._rows, strict=True)
        )
        for name in self._optional:
            sketch = self._laid_out(left_out, [widest] * bool(widest), READABLE)
            if Measurement.get(console, console.options, sketch).maximum < console.width:
                break
            left_out.add(name)
        return self._laid_out(left_out, self._rows)

    def _laid_out(
        self, left_out: set[str], rows: Sequence[tuple[str, ...]], widest: int | None = None
    ) -> RichTable:
        from rich import box
        from rich.table import Table as RichTable

        made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        shown = [n for n, c in enumerate(self._columns) if c.removesuffix(">") not in left_out]
        for n in shown:
            name = self._columns[n]
            header = name.removesuffix(">")
            whole = n == 0 or header in self._whole
            made.add_column(
                header,
                justify="right" if name.endswith(">") else "left",
                overflow="fold",
                no_wrap=whole,
                max_width=None if whole else widest,
            )
        for row in rows:
            made.add_row(*(row[n] for n in shown))
        return made


def _width(cell: str) -> int:
    """Columns of the terminal that it takes without folding."""
    from rich.cells import cell_len

    return max(map(cell_len, cell.splitlines()), default=0)


def table(*columns: str, whole: Collection[str] = (), optional: Sequence[str] = ()) -> Table:
    """An empty table; a column whose name ends in ``>`` is set to the right.

    Where there is not enough room, ``optional`` columns are left out, the first one first, and
    others fold; the first column and those that are ``whole`` do neither.
    """
    return Table(columns, whole, optional)


def terminal_width(otherwise: int) -> int:
    """Columns of the terminal; where there is none, those that COLUMNS says, or ``otherwise``."""
    stated = os.environ.get("COLUMNS", "").isdigit()
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() or stated else otherwise
    return columns or otherwise


def draw(*parts: Table | str, width: int) -> str:
    """Tables and lines of text one below the other, without trailing blanks.

    As wide as the terminal, or ``width`` where there is none.
    """
    from rich.console import Console

    out = io.StringIO()
    columns = terminal_width(width)
    console = Console(
        file=out, width=columns, color_system=None, highlight=False, markup=False, emoji=False
    )
    for part in parts:
        text = isinstance(part, str)
        console.print(part if isinstance(part, str) else part.fitting(console), soft_wrap=text)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")

"""Light tables as text: the one door to rich."""

from __future__ import annotations

import io
import shutil
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scheduler.texts import printable_lines


class _Table(Table):
    """One whose cells steer no terminal."""

    def add_row(self, *cells: Any, **style: Any) -> None:
        super().add_row(*(printable_lines(c) if isinstance(c, str) else c for c in cells), **style)


def table(*columns: str) -> Table:
    """An empty table; a column whose name ends in ``>`` is set to the right."""
    made = _Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left")
    return made


def draw(*parts: Table | str, width: int) -> str:
    """Tables and lines of text one below the other, without trailing blanks.

    As wide as the terminal, or ``width`` where there is none.
    """
    out = io.StringIO()
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else width
    console = Console(
        file=out, width=columns, color_system=None, highlight=False, markup=False, emoji=False
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")

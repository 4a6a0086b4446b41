"""Light tables as text: the one door to rich."""

from __future__ import annotations

import io
import shutil
import sys

from rich import box
from rich.console import Console
from rich.table import Table


def table(*columns: str) -> Table:
    """An empty table; a column whose name ends in ``>`` is set to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left")
    return made


def draw(*parts: Table | str, width: int) -> str:
    """Tables and lines of text one below the other, without trailing blanks.

    As wide as the terminal, or ``width`` where there is none.
    """
    out = io.StringIO()
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else width
    console = Console(file=out, width=columns, color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")

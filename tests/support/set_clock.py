"""A clock that is set while processes run: libfaketime, under lowtide, its runners and its jobs.

The time of day alone is set; what the kernel counts since boot goes on, as on a real machine.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from support.engines import absent

REMEDY = "apt-get install libfaketime (or faketime)"
# For programs with threads.
LIBRARY = "libfaketimeMT.so.1"
FOLDERS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))
# lowtide, which starts its runners by the program that is told here.
MAIN = """import runpy, sys
sys.executable = {python!r}
runpy.run_module("scheduler", run_name="__main__", alter_sys=True)
"""


class SetClock:
    """The clock of what runs with ``environ`` and is started as ``command``."""

    def __init__(self, folder: Path) -> None:
        found = [p for f in FOLDERS for p in f.glob(f"**/faketime/{LIBRARY}")]
        if not found:
            absent("faketime", REMEDY)
        self._file = folder / "clock"
        self.set("+0")
        self.environ = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        # A runner has an environment of its own.
        python = folder / "python"
        pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environ.items())
        python.write_text(f'#!/bin/sh\n{pairs} exec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        self.command = (sys.executable, "-P", "-c", MAIN.format(python=str(python)))

    def set(self, offset: str) -> None:
        """By how much it differs from the machine's: ``+0``, ``-1h``."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self._file)

"""A process that holds something and stands still, as after Ctrl-Z."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from providers.runner import proc
from support.bench import PYTHON, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDS_STILL = """
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def standing_still(script: str, *argv: str) -> Iterator[int]:
    """The pid of one that has run ``script``, and stands still until the test is over."""
    words = [*PYTHON, f"import os, signal, sys\n{script}{STANDS_STILL}", *argv]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        Bench.until(lambda: (found := proc.stat(process.pid)) is not None and found.state == "T")
        yield process.pid
    finally:
        process.kill()
        process.communicate()

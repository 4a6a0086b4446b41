"""What all jobs of this user hold of this machine, so that idle power is shared out but once.

Each runner has an empty file in a folder in memory: its name is the runner's identity, the slots
that its job holds, and a number (one process may meter more than one). A file whose runner is
gone does not count and is taken away.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

from providers.runner import proc

MEMORY = Path("/dev/shm")  # noqa: S108 -- the folder below is ours alone, or is not used
_NUMBERS = count()


def folder() -> Path:
    """Where the runners of this user meet."""
    if os.access(MEMORY, os.W_OK):
        return MEMORY / f"lowtide-held-{os.geteuid()}"
    # What lies there may be from before a boot, or another host's, where pids mean others.
    return Path(tempfile.gettempdir()) / f"lowtide-held-{os.geteuid()}-{proc.boot_id()}"


class Holdings:
    """What one job holds; where the folder cannot be used, only that is known."""

    def __init__(self, slots: int, place: Path | None = None) -> None:
        self._slots, self._place = slots, place or folder()
        self._file: Path | None = None
        me = proc.identify(os.getpid())
        with suppress(OSError):
            self._place.mkdir(mode=0o700, exist_ok=True)
            if me is not None and self._place.lstat().st_uid == os.geteuid():
                self._file = self._place / f"{me.pid}-{me.start_ticks}-{slots}-{next(_NUMBERS)}"
                self._file.touch(mode=0o600)

    def total(self) -> int:
        """Slots that all living jobs hold, this one included."""
        held = self._slots
        if self._file is None:
            return held
        try:
            names = os.listdir(self._place)  # noqa: PTH208
        except OSError:
            return held
        for name in names:
            parts = name.split("-")
            if name == self._file.name or len(parts) != 4 or not all(p.isdigit() for p in parts):
                continue
            pid, ticks, slots, _ = map(int, parts)
            if proc.lives(pid, ticks):
                held += slots
            else:
                with suppress(OSError):
                    (self._place / name).unlink()
        return held

    def close(self) -> None:
        """It holds nothing any more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()

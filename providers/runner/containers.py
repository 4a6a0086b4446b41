"""Containers that a job's own ``docker`` commands started: processes of a daemon, not of its tree.

Where Docker's socket may be read, its daemon says which containers there are, and which process
each began with; the kernel counts them by their control group. Nothing is changed there. One is
the job's where it was made since the job's start, and a ``docker`` command of the job names it or
its image.
"""

from __future__ import annotations

import os
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.clocks import since_boot_s
from providers.runner import group, proc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT = "docker"
SOCKET = "/var/run/docker.sock"


class Containers:
    """The containers of one job, from now on."""

    def __init__(self, argv: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> None:
        named = environ.get("DOCKER_HOST", f"unix://{SOCKET}")
        self._socket = named.removeprefix("unix://") if named.startswith("unix://") else None
        self._begun_s = time.time()
        # What a command names, until a container of it was found: by process, None for the first.
        self._wanted: dict[tuple[int, int] | None, frozenset[str]] = {}
        words = _words(argv)
        if CLIENT in words:
            self._wanted[None] = words
        self._known: set[tuple[int, int]] = set()
        self._found: dict[str, _Container] = {}
        self.unseen_s = 0.0

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all of them so far."""
        return sum(found.cpu_s for found in self._found.values())

    @property
    def resident_bytes(self) -> int:
        """Their memory at the last look, where it is counted."""
        living = (found.folder for found in self._found.values() if found.lives)
        return sum(group.resident_bytes(folder) or 0 for folder in living)

    @property
    def hurried(self) -> bool:
        """Whether one lives: what it used since the last look goes with it."""
        return any(found.lives for found in self._found.values())

    @property
    def all_found(self) -> bool:
        """Whether each command was found to have a container here."""
        return bool(self._found) and not self._wanted

    def look(self, tree: Mapping[int, proc.Stat]) -> None:
        """Take in the containers that commands in the job's tree have started."""
        for pid, seen in tree.items():
            key = (pid, seen.start_ticks)
            if seen.name == CLIENT and key not in self._known:
                self._known.add(key)
                self._wanted[key] = frozenset(proc.argv(pid))
                # The command that was named at the start is one of those that run.
                self._wanted.pop(None, None)
        for found in self._found.values():
            self.unseen_s += found.look()
        if self._wanted and self._socket is not None:
            # Whatever answers there, it may not harm the job.
            with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                self._ask()

    def _ask(self) -> None:
        for each in self._get("/containers/json") or ():
            names = {str(name).lstrip("/") for name in each.get("Names") or ()}
            names |= {str(each.get("Image")), str(each.get("Id"))[:12]}
            of = [key for key, words in self._wanted.items() if names & words]
            if not of or each["Id"] in self._found or each.get("Created", 0) < self._begun_s - 1:
                continue
            state = (self._get(f"/containers/{each['Id']}/json") or {}).get("State") or {}
            folder = group.counted(proc.PROC / str(state.get("Pid")) / "cgroup")
            if folder is not None:
                self._found[each["Id"]] = _Container(folder)
                del self._wanted[of[0]]

    def _get(self, path: str) -> Any:
        from providers.runner import unix_http  # 50 ms and 7 MB that few jobs need

        return unix_http.get(str(self._socket), path)


class _Container:
    """One container; its group goes with it, and then the last reading counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lives = folder, True
        self.cpu_s, self._at_s = group.used_s(folder) or 0.0, since_boot_s()

    def look(self) -> float:
        """Read it; CPU seconds that it may have used at most since, where it has ended."""
        if not self.lives:
            return 0.0
        now_s, used_s = since_boot_s(), group.used_s(self.folder)
        if used_s is None:
            self.lives = False
            return (now_s - self._at_s) * (os.cpu_count() or 1)
        self.cpu_s, self._at_s = max(self.cpu_s, used_s), now_s
        return 0.0


def _words(argv: Sequence[str]) -> frozenset[str]:
    """The words of a command, and those of a command line that it hands to a shell."""
    found = {Path(word).name if word.startswith("/") else word for word in argv}
    for word in argv:
        if " " in word:
            try:
                line = shlex.shlex(word, posix=True, punctuation_chars=True)
                line.whitespace_split = True
                found |= set(line)
            except ValueError:  # no shell would take it either
                continue
    return frozenset(found)

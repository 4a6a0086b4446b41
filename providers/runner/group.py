"""A control group (cgroup v2) of the job's own, where this user may make one.

The kernel counts the CPU seconds of everything in it, short-lived children and those that no
parent waits for included. Only a subtree that was handed to us is used: systemd's own groups
are not ours, also where root could write to them (systemd: CGROUP_DELEGATION). No controller is
switched on, so nothing is limited, and the runner itself may stay where it is.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import proc
from providers.runner.log import say

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "lowtide-"
CGROUP = Path("/sys/fs/cgroup")
# Set by systemd on the top of each subtree that it hands over (systemd.exec(5), Delegate=).
DELEGATED = ("user.delegate", "trusted.delegate")


class Group:
    """One leaf below ``parent``, the runner's own group; :class:`OSError` where it cannot be."""

    def __init__(self, parent: Path) -> None:
        _sweep(parent)
        me = proc.identify(os.getpid())
        self._parent = parent
        self.folder = parent / f"{PREFIX}{os.getpid()}-{me.start_ticks if me else 0}"
        self.folder.mkdir(exist_ok=True)
        self._own_s = 0.0
        self._holds_us = False
        if self.cpu_s() is None:
            self.remove()
            raise OSError("the kernel does not count CPU seconds here")

    def spawn(self, start: Callable[[], int]) -> int:
        """Start a process in it: it gets there by birth, so nothing of it is missed.

        We go in, and come out again; what we use ourselves meanwhile is taken off.
        """
        begun = time.process_time()
        self._holds_us = _enter(self.folder)
        try:
            return start()
        finally:
            if self._holds_us:
                self._own_s = time.process_time() - begun
                self._holds_us = not _enter(self._parent)

    def cpu_s(self) -> float | None:
        """CPU seconds of all that ever was in it; None where that cannot be read."""
        found = used_s(self.folder)
        return None if found is None else max(0.0, found - self._own_s)

    def resident_bytes(self) -> int | None:
        """Memory of its processes, shared pages once; None where memory is not counted."""
        return resident_bytes(self.folder)

    def kill(self) -> None:
        """End all that is in it at once, faster than any of it can fork (Linux 5.14)."""
        if not self._holds_us:
            _write(self.folder / "cgroup.kill", "1")

    def remove(self) -> None:
        """Take it away, with what the job has made in it; what is still in use stays."""
        for folder, _, _ in os.walk(self.folder, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError as e:
                say(f"the control group {folder} is left behind: {e.strerror}")
                return


def make(own: Path | None) -> Group | None:
    """A group below ``own``; None where it is not ours to use."""
    if own is None or not _delegated(own):
        return None
    try:
        return Group(own)
    except OSError as e:
        say(f"no control group: {e}")
        return None


def own_folder(
    cgroup: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/proc/self/mountinfo")
) -> Path | None:
    """The folder of this process's group in the v2 hierarchy; None where there is none."""
    try:
        groups = cgroup.read_text(encoding="utf-8").splitlines()
        lines = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    path = next((g.removeprefix("0::") for g in groups if g.startswith("0::")), None)
    for fields in lines:
        # mountinfo (proc(5)): 3 root, 4 mount point, then options up to "-", then the type.
        kind = fields[fields.index("-") + 1] if "-" in fields else ""
        if path is None or kind != "cgroup2" or ".." in path or "\\" in fields[4]:
            continue
        if Path(path).is_relative_to(fields[3]):
            return Path(fields[4]) / Path(path).relative_to(fields[3])
    return None


def used_s(folder: Path) -> float | None:
    """CPU seconds of all that ever was in a group, of version 2 or 1; None where not counted."""
    found = _fields(folder / "cpu.stat").get("usage_usec")
    if found is not None:
        return found / 1e6
    try:
        return int((folder / "cpuacct.usage").read_text(encoding="ascii")) / 1e9
    except (OSError, ValueError):
        return None


def resident_bytes(folder: Path) -> int | None:
    """Memory of the processes of a group of version 2; None where it is not counted."""
    found = _fields(folder / "memory.stat")
    if "anon" not in found or "file_mapped" not in found:
        return None
    return found["anon"] + found["file_mapped"]


def counted(cgroup: Path, root: Path = CGROUP) -> Path | None:
    """The folder that counts the CPU seconds of a process's group (``/proc/PID/cgroup``), in either
    version's usual place; None where there is none that can be read.
    """
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if ".." in path or (controllers and "cpuacct" not in controllers.split(",")):
            continue
        for place in (root, root / "unified", root / controllers, root / "cpuacct"):
            folder = place / path.lstrip("/")
            if path != "/" and used_s(folder) is not None:
                return folder
    return None


def _delegated(own: Path) -> bool:
    if not os.access(own, os.W_OK) or not os.access(own / "cgroup.procs", os.W_OK):
        return False
    # Who is not root may write only to what was handed over. Root may write anywhere: the top
    # of what it sees (in a container, its own) is free to use, and what systemd marks.
    return os.geteuid() != 0 or _is_top(own) or any(_marked(f) for f in (own, *own.parents))


def _is_top(folder: Path) -> bool:
    return not (folder.parent / "cgroup.procs").exists()


def _marked(folder: Path) -> bool:
    for name in DELEGATED:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _sweep(parent: Path) -> None:
    """Take away empty groups of runners that were killed."""
    for left in parent.glob(f"{PREFIX}*-*"):
        pid, _, ticks = left.name.removeprefix(PREFIX).partition("-")
        if pid.isdigit() and ticks.isdigit() and not proc.lives(int(pid), int(ticks)):
            with suppress(OSError):
                left.rmdir()


def _enter(folder: Path) -> bool:
    return _write(folder / "cgroup.procs", str(os.getpid()))


def _write(path: Path, text: str) -> bool:
    """Whether the kernel took it; a file that is not there is not made."""
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _fields(path: Path) -> dict[str, int]:
    """``name value`` lines; empty where they cannot be read."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return {name: int(value) for name, value in map(str.split, lines)}
    except (OSError, ValueError):
        return {}

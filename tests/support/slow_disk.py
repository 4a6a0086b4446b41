"""A real slow disk: a file as a block device, whose writes the kernel lets through one by one.

Only processes that are started with ``command`` before their own words are held back, by their
control group. The file system has no journal, so that what they write is written in their name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.engines import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "root with loop devices, mkfs.ext4 and the control group of block devices"
SIZE_BYTES = 64 << 20
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class SlowDisk:
    """What is put before a command that is to find its disk slow."""

    command: tuple[str, ...]


@contextmanager
def slow_disk(folder: Path, image: Path, writes_per_s: int) -> Iterator[SlowDisk]:
    """A disk at ``folder``; skipped, or failed where it is required, where none can be had."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4", path="/sbin:/usr/sbin:/bin") is None:
        absent("slow-disk", REMEDY)
    folder.mkdir()
    image.touch()
    os.truncate(image, SIZE_BYTES)
    _run("/sbin/mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))
    device = _run("losetup", "-f", "--show", str(image))
    group = None
    try:
        _run("mount", device, str(folder))
        try:
            group = _throttle(device, writes_per_s)
            word = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
            yield SlowDisk(("sh", "-c", word, str(group)))
        finally:
            _run("umount", "-l", str(folder))
    finally:
        # Detached once the last file on it is closed.
        _run("losetup", "-d", device)
        if group is not None:
            _remove(group)


def _throttle(device: str, writes_per_s: int) -> Path:
    numbers = (Path("/sys/block") / Path(device).name / "dev").read_text().strip()
    name = f"lowtide-slow-{os.getpid()}"
    try:
        if (GROUPS / "blkio/cgroup.procs").exists():
            group = GROUPS / "blkio" / name
            limit = ("blkio.throttle.write_iops_device", f"{numbers} {writes_per_s}")
        else:
            (GROUPS / "cgroup.subtree_control").write_text("+io")
            group = GROUPS / name
            limit = ("io.max", f"{numbers} wiops={writes_per_s}")
        group.mkdir()
        (group / limit[0]).write_text(limit[1])
    except OSError as e:
        absent("slow-disk", f"{REMEDY} ({e})")
    return group


def _remove(group: Path) -> None:
    """Runners of a test that failed may still be in it: they go on elsewhere."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(OSError):
            (group.parent / "cgroup.procs").write_text(pid)
    with suppress(OSError):
        group.rmdir()


def _run(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    except subprocess.CalledProcessError as e:
        absent("slow-disk", f"{REMEDY} ({argv[0]}: {e.stderr.strip()})")

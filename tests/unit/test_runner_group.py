"""Control groups on a tree of plain files: where they are, whose they are, what they tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from providers.runner import group, proc
from providers.runner.group import Group
from providers.runner.tree import Tree

MOUNTS = """\
24 1 0:22 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 {root} /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw
broken
"""


@pytest.mark.parametrize(
    ("cgroup", "root", "found"),
    [
        ("3:cpu:/x\n0::/\n", "/", "/sys/fs/cgroup/unified"),
        ("0::/user.slice/a.scope\n", "/", "/sys/fs/cgroup/unified/user.slice/a.scope"),
        ("0::/docker/abc/job\n", "/docker/abc", "/sys/fs/cgroup/unified/job"),
        ("0::/../other\n", "/", None),  # outside of what a container sees
        ("0::/elsewhere\n", "/docker/abc", None),
        ("3:cpu:/x\n", "/", None),  # version 1 alone
    ],
)
def test_the_own_group_is_found(tmp_path: Path, cgroup: str, root: str, found: str | None) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mounts").write_text(MOUNTS.format(root=root))
    where = group.own_folder(tmp_path / "cgroup", tmp_path / "mounts")
    assert where == (None if found is None else Path(found))


def test_without_proc_there_is_no_group(tmp_path: Path) -> None:
    assert group.own_folder(tmp_path / "absent", tmp_path / "absent") is None
    assert group.make(None) is None


class Kernel:
    """Makes a folder a control group as the kernel does: with its files, once it is made."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        root.mkdir()
        (root / "cgroup.procs").touch()
        real = Path.mkdir

        def mkdir(path: Path, *args: int, **options: bool) -> None:
            real(path, *args, **options)
            if path.parent == root:
                for name in ("cgroup.procs", "cgroup.kill"):
                    (path / name).touch()
                (path / "cpu.stat").write_text("usage_usec 0\nuser_usec 0\n")

        monkeypatch.setattr(Path, "mkdir", mkdir)

    @property
    def leaf(self) -> Path:
        return next(self.root.glob("lowtide-*"))

    def count(self, seconds: float) -> None:
        (self.leaf / "cpu.stat").write_text(f"usage_usec {seconds * 1e6:.0f}\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path / "own", monkeypatch)


def test_a_process_is_born_into_it_and_we_are_out_again(kernel: Kernel) -> None:
    made = group.make(kernel.root)
    assert made is not None
    within: list[str] = []

    def start() -> int:
        within.append((kernel.leaf / "cgroup.procs").read_text())
        return 7

    assert made.spawn(start) == 7
    assert within == [str(os.getpid())]
    assert (kernel.root / "cgroup.procs").read_text() == str(os.getpid())
    kernel.count(30.0)
    assert made.cpu_s() == pytest.approx(30.0, abs=1.0)
    assert made.cpu_s() != 30.0  # less what we used ourselves
    made.kill()
    assert (kernel.leaf / "cgroup.kill").read_text() == "1"


def test_one_who_cannot_leave_it_does_not_kill_himself(kernel: Kernel) -> None:
    made = Group(kernel.root)
    (kernel.root / "cgroup.procs").unlink()
    made.spawn(lambda: 7)
    made.kill()
    assert (kernel.leaf / "cgroup.kill").read_text() == ""


def test_a_start_that_fails_leaves_us_outside(kernel: Kernel) -> None:
    made = Group(kernel.root)

    def start() -> int:
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        made.spawn(start)
    assert (kernel.root / "cgroup.procs").read_text() == str(os.getpid())


def test_memory_is_what_the_processes_have_mapped_and_not_the_page_cache(kernel: Kernel) -> None:
    made = Group(kernel.root)
    assert made.resident_bytes() is None
    (kernel.leaf / "memory.stat").write_text("anon 5000\nfile 900000\nfile_mapped 700\n")
    assert made.resident_bytes() == 5700


def test_the_tree_takes_what_has_counted_more(kernel: Kernel) -> None:
    tree = Tree(os.getpid(), Group(kernel.root))
    # More than the engines that this process runs for other tests.
    kernel.count(3e6)
    assert tree.usage()[0] == pytest.approx(3e6, abs=1.0)
    assert tree.counted_by() == "cgroup"
    tree._reaped_cpu_s = 5e6  # the job has left its group
    assert tree.final_cpu_s() == 5e6
    assert tree.counted_by() == "wait4"
    (kernel.leaf / "cpu.stat").unlink()
    assert tree.final_cpu_s() == 5e6


def test_a_kernel_that_counts_nothing_is_not_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Plain folders: no file of a control group appears in a new one."""
    (tmp_path / "cgroup.procs").touch()
    assert group.make(tmp_path) is None
    assert list(tmp_path.glob("lowtide-*")) == []
    assert "no control group" in capfd.readouterr().err


def test_what_is_not_handed_over_is_left_alone(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (kernel.root.parent / "cgroup.procs").touch()  # a service of the system, and we are root
    assert group.make(kernel.root) is None
    marks = {str(kernel.root.parent): b"1"}

    def mark(path: Path, name: str) -> bytes:
        if name != "trusted.delegate" or str(path) not in marks:
            raise OSError
        return marks[str(path)]

    monkeypatch.setattr(os, "getxattr", mark)
    assert group.make(kernel.root) is not None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert group.make(kernel.root) is None


def test_groups_of_dead_runners_are_taken_away(kernel: Kernel) -> None:
    me = proc.identify(os.getpid())
    assert me is not None
    names = {f"lowtide-{os.getpid()}-1": False, "lowtide-notes-x": True, "lowtide-1-2": False}
    for name in names:
        os.mkdir(kernel.root / name)  # noqa: PTH102 -- without the files, as an empty one removes
    in_use = kernel.root / "lowtide-1-3"
    in_use.mkdir()
    Group(kernel.root)
    assert {name: (kernel.root / name).exists() for name in names} == names
    assert in_use.exists()


def test_one_that_is_still_in_use_is_left_and_said(
    kernel: Kernel, capfd: pytest.CaptureFixture[str]
) -> None:
    made = Group(kernel.root)
    made.remove()  # its files are real here, so it is in use
    assert "is left behind" in capfd.readouterr().err

"""CPU seconds of processes that nobody who is counted has waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.fleet import until

from providers.runner import proc
from providers.runner.process_times import ProcessTimes
from providers.runner.tree import Tree
from scheduler.meter.own import OwnTree

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = [sys.executable, "-I", "-S", "-c"]
# Burns, says so, and lives on.
BURN = "import os,time\nwhile time.process_time() < {s}: pass\nopen({file!r}, 'w').close()\n"
ROOT = 1000


def seen(cpu_s: float, parent: int, waited_s: float = 0.0, *, ignores: bool = False) -> proc.Stat:
    return proc.Stat("R", 5, cpu_s, 0, 1, parent, waited_s, "x", ignores)


@pytest.fixture
def times() -> ProcessTimes:
    """At the first look there is a parent with a child of 3 CPU seconds."""
    found = ProcessTimes(ROOT)
    found.look({10: seen(1.0, ROOT), 11: seen(3.0, 10)}, {})
    return found


def test_what_a_parent_waited_for_is_counted_once(times: ProcessTimes) -> None:
    times.look({10: seen(4.5, ROOT, 3.25)}, {})
    times.bound(0.0)
    assert (times.kept_s, times.unseen_s) == (0.0, 0.0)


def test_what_no_parent_waited_for_is_kept(times: ProcessTimes) -> None:
    times.look({10: seen(1.5, ROOT)}, {})
    assert times.kept_s == 3.0
    times.look({10: seen(2.5, ROOT)}, {})
    assert times.kept_s == 3.0


def test_a_parent_that_was_read_before_it_waited_has_it_at_the_next_look(
    times: ProcessTimes,
) -> None:
    times.look({10: seen(1.5, ROOT)}, {})
    times.look({10: seen(4.75, ROOT, 3.25)}, {})
    assert times.kept_s == 0.0
    times.bound(0.0)
    assert times.unseen_s == 0.0


def test_a_parent_that_ended_took_its_child_along(times: ProcessTimes) -> None:
    times.look({}, {}, root_waited_s=4.5)
    assert times.kept_s == 0.0


def test_an_orphan_that_another_process_waited_for_is_kept(times: ProcessTimes) -> None:
    times.look({}, {}, root_waited_s=1.25)
    assert times.kept_s == pytest.approx(2.75)


@pytest.mark.parametrize(("ended", "kept_s"), [({10: 1.5, 11: 3.5}, 0.0), ({10: 1.5}, 2.5)])
def test_the_root_knows_for_which_it_has_waited(
    times: ProcessTimes, ended: dict[int, float], kept_s: float
) -> None:
    times.look({}, ended)
    assert times.kept_s == pytest.approx(kept_s)


def test_a_pid_that_is_used_again_is_another_process(times: ProcessTimes) -> None:
    later = proc.Stat("R", 900, 0.25, 0, 1, 10)
    times.look({10: seen(1.0, ROOT), 11: later}, {})
    assert times.kept_s == 3.0


def test_a_parent_that_ignores_its_children_bounds_what_was_not_seen() -> None:
    times = ProcessTimes(ROOT)
    times.look({10: seen(0.0, ROOT, ignores=True)}, {})
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    times.bound(0.0)
    assert times.unseen_s >= 0.05
    times.look({10: seen(0.0, ROOT, ignores=True)}, {})
    before = times.unseen_s
    times.bound(0.0, exact=True)
    assert times.unseen_s == before


@pytest.fixture
def burnt(tmp_path: Path) -> Callable[[], bool]:
    return (tmp_path / "burnt").exists


def test_the_past_of_an_orphan_is_not_taken_off_our_own(
    tmp_path: Path, burnt: Callable[[], bool]
) -> None:
    """A grandchild that computed before the run and is orphaned within it."""
    script = BURN.format(s=0.5, file=str(tmp_path / "burnt")) + "time.sleep(60)"
    parent = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *PYTHON, script])
    until(burnt)
    orphan = next(iter(proc.below(parent.pid)))
    tree = OwnTree()
    try:
        parent.kill()
        parent.wait()
        begun = time.process_time()
        while time.process_time() < begun + 0.3:
            pass
        assert 0.25 <= tree.usage()[0] <= 0.6
        assert orphan in tree.living
    finally:
        os.kill(orphan, signal.SIGKILL)
    until(lambda: proc.stat(orphan) is None)
    assert 0.25 <= tree.usage()[0] <= 0.9


UNWAITED = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
    try:
        os.wait()
    except ChildProcessError:
        pass
open(sys.argv[1], "w").close()
time.sleep(60)
"""


@pytest.mark.parametrize("make", [lambda pid: Tree(pid), lambda pid: OwnTree()])
def test_children_that_nobody_waits_for_are_counted_or_bounded(
    tmp_path: Path, make: Callable[[int], Tree | OwnTree]
) -> None:
    before_s, done = _of_children(), tmp_path / "done"
    child = subprocess.Popen([*PYTHON, UNWAITED, str(done)])
    tree = make(child.pid)
    others_s = tree.usage()[0] if isinstance(tree, Tree) else 0.0
    try:
        until(lambda: _looked(tree, done))
        counted_s = tree.usage()[0] - others_s
    finally:
        child.kill()
        child.wait()
    assert _of_children() - before_s < 0.5, "the kernel has kept their time after all"
    assert counted_s > 0
    assert counted_s + tree.unseen_s >= 0.9


def _looked(tree: Tree | OwnTree, done: Path) -> bool:
    """Looks as it waits for the program to have had its three children."""
    tree.usage()
    return done.exists()


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system

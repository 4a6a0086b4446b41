"""What is read of processes under /proc, against real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from providers.runner import proc


def test_this_process_is_alive_under_its_identity_only() -> None:
    me = proc.identify(os.getpid())
    assert me is not None
    assert me.alive()
    assert not replace(me, start_ticks=me.start_ticks + 1).alive()
    assert not replace(me, boot_id="another boot").alive()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    found = proc.identify(child.pid)
    deadline = time.monotonic() + 10
    while (seen := proc.stat(child.pid)) and seen.state != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found is not None
    assert not found.alive()
    child.wait()
    assert proc.identify(child.pid) is None


def test_a_hostile_process_name_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) R (b"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([str(program), "60"]) as child:
        found = proc.stat(child.pid)
        child.kill()
    assert found is not None
    assert found.cpu_s < 5
    assert found.start_ticks > 0
    assert found.rss_bytes < 1 << 30


NEST = """
import subprocess, sys
below = subprocess.Popen(["sleep", "60"])
print(below.pid, flush=True)
sys.stdin.read()
below.kill()
"""


def test_the_tree_below_has_every_descendant_and_parents_come_first() -> None:
    command = [sys.executable, "-c", NEST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as middle:
        assert middle.stdout is not None
        leaf = int(middle.stdout.readline())
        assert list(proc.below(middle.pid)) == [leaf]
        mine = list(proc.below(os.getpid()))
        assert mine.index(middle.pid) < mine.index(leaf)
    assert proc.below(middle.pid) == {}


THREAD = """
import subprocess, sys, threading
def work():
    print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
    sys.stdin.read()
threading.Thread(target=work).start()
"""


def test_a_child_of_a_thread_belongs_to_the_tree() -> None:
    command = [sys.executable, "-c", THREAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as middle:
        assert middle.stdout is not None
        leaf = int(middle.stdout.readline())
        assert list(proc.below(middle.pid)) == [leaf]
        os.kill(leaf, signal.SIGKILL)


def test_marked_finds_the_token_and_nothing_else(tmp_path: Path) -> None:
    token = f"token-of-{tmp_path}"
    with (
        subprocess.Popen(["sleep", "60"], env={**os.environ, "LOWTIDE_RUN": token}) as ours,
        subprocess.Popen(["sleep", "60"], env={**os.environ, "LOWTIDE_RUN": token + "x"}) as other,
    ):
        found = proc.marked(token)
        ours.kill()
        other.kill()
    assert [process.pid for process in found] == [ours.pid]

"""Whose CPU seconds and whose joules: control groups, wait4, and two jobs on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.bench import BURN, PYTHON, Bench

from providers.base import Launch, Reading
from providers.meters import microarchitecture
from providers.meters.rapl import PROC_STAT, _busy_s
from providers.runner import group, journal
from scheduler.testing import FakePowercap

CPUS = os.cpu_count() or 1
NO_GROUP = "from providers.runner import group\ngroup.own_folder = lambda: None"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def delegated() -> None:
    """A control group can be made here, and is taken away again."""
    made = group.make(group.own_folder())
    if made is None:
        pytest.skip("no control group (v2) was handed over to this process")
    made.remove()


def _attribution(folder: Path) -> dict[str, float | str]:
    found: dict[str, float | str] = dict(journal.read_journal(folder).meta["attribution"])
    return found


UNWAITED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
    try:
        os.wait()
    except ChildProcessError:
        pass
"""


@pytest.mark.usefixtures("delegated")
def test_a_group_counts_children_that_nobody_waits_for(bench: Bench) -> None:
    """Without one they are seen by samples alone, and here there is none while they live."""
    receipt, folder = bench.run(*PYTHON, UNWAITED, interval_s=60.0)
    assert receipt.cpu_s >= 0.9
    assert _attribution(folder)["counted_by"] == "cgroup"
    assert journal.read_journal(folder).samples[-1].cpu_s == receipt.cpu_s
    plain = bench.launch(*PYTHON, UNWAITED, interval_s=60.0)
    bench.start_patched(NO_GROUP, plain)
    assert bench.wait(plain).cpu_s < 0.6
    assert _attribution(Path(plain.run_dir))["counted_by"] == "wait4"


@pytest.mark.usefixtures("delegated")
def test_both_ways_count_the_same(bench: Bench) -> None:
    burn = ("sh", "-c", '"$@"; "$@"', "sh", *PYTHON, BURN.format(s=0.5))
    plain = bench.launch(*burn)
    bench.start_patched(NO_GROUP, plain)
    expected = bench.wait(plain).cpu_s
    receipt, folder = bench.run(*burn)
    assert receipt.cpu_s == pytest.approx(expected, rel=0.3)
    told = _attribution(folder)
    assert told["cpu_s"] == receipt.cpu_s
    assert 0 < float(told["seen_cpu_s"]) <= receipt.cpu_s


@pytest.mark.usefixtures("delegated")
def test_the_group_is_there_while_the_job_runs_and_gone_after_it(bench: Bench) -> None:
    own = group.own_folder()
    assert own is not None
    launch = bench.start("sh", "-c", f"cat /proc/self/cgroup; mkdir {own}/$0/mine", "none")
    bench.wait(launch)
    lines = (Path(launch.run_dir) / "stdout.log").read_text().splitlines()
    leaf = next(line.rpartition("/")[2] for line in lines if line.startswith("0::"))
    assert leaf.startswith("lowtide-")
    bench.until(lambda: not (own / leaf).exists())


@pytest.mark.usefixtures("delegated")
def test_a_group_ends_all_that_is_in_it_and_nothing_else() -> None:
    own = group.own_folder()
    assert own is not None
    made = group.Group(own)
    command = ["sh", "-c", "sleep 600 & wait"]
    with subprocess.Popen(command) as outside:
        pid = made.spawn(lambda: os.posix_spawn("/bin/sh", command, os.environ))
        made.kill()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        Bench.until(lambda: "populated 0" in (made.folder / "cgroup.events").read_text())
        assert outside.poll() is None
        outside.kill()
    made.remove()
    assert not made.folder.exists()


RAPL = """
from providers.meters import rapl
from providers.runner import holdings
class Kind:
    @staticmethod
    def open(scope):
        return rapl.RaplMeter(scope, Path({root!r}))
rapl.KIND = Kind
holdings.folder = lambda: Path({held!r})
"""
J_PER_CPU_S = 10.0


@dataclass
class Driver(FakePowercap):
    """Draws idle power, and a fixed energy for each CPU second that this machine is busy."""

    idle_w: float = field(default_factory=lambda: microarchitecture.here().idle.value * CPUS)
    done: threading.Event = field(default_factory=threading.Event)

    def drive(self) -> None:
        at, busy_s = time.monotonic(), _busy_s(PROC_STAT)
        while not self.done.wait(0.01):
            last_at, last_busy_s = at, busy_s
            at, busy_s = time.monotonic(), _busy_s(PROC_STAT)
            assert busy_s is not None
            assert last_busy_s is not None
            self.count_j(self.idle_w * (at - last_at) + J_PER_CPU_S * (busy_s - last_busy_s))

    def count_j(self, joules: float) -> None:
        self.drawn_j += joules
        self.count("package-0", joules)
        self.count("dram", joules)


def _last(launch: Launch) -> dict[str, Reading]:
    return {r.component: r for r in journal.read_journal(Path(launch.run_dir)).samples[-1].readings}


def test_two_jobs_and_the_rest_are_the_device(bench: Bench, tmp_path: Path) -> None:
    """One of many short children, one of a single process, at once, beside all else here."""
    driver = Driver(tmp_path / "machine")
    driver.build()
    thread = threading.Thread(target=driver.drive)
    thread.start()
    loop = 'n=0; while [ $n -lt 5 ]; do "$@"; n=$((n+1)); done'
    commands = (
        ("sh", "-c", loop, "sh", *PYTHON, BURN.format(s=0.4)),
        (*PYTHON, BURN.format(s=2.0)),
    )
    patch = RAPL.format(root=str(driver.powercap), held=str(tmp_path / "held"))
    try:
        launches = [bench.launch(*argv, meters=("rapl",)) for argv in commands]
        for launch in launches:
            bench.start_patched(patch, launch)
        receipts = [bench.wait(launch) for launch in launches]
        time.sleep(0.1)
    finally:
        driver.done.set()
        thread.join()
    found = [_last(launch) for launch in launches]
    assert sum(f["cpu"].energy_j.value for f in found) <= driver.drawn_j
    assert sum(f["dram"].energy_j.value for f in found) <= driver.drawn_j
    for launch, receipt, parts in zip(launches, receipts, found, strict=True):
        cpu = parts["cpu"]
        assert journal.read_journal(Path(launch.run_dir)).meta["meters"]["cpu"] == "rapl"
        assert cpu.facts["gap_count"] == 0
        # Each CPU second of the machine costs the same, whoever uses it.
        assert cpu.active_j.value == pytest.approx(J_PER_CPU_S * receipt.cpu_s, rel=0.2)
        # Of idle, the slot that it holds, and what it uses of what nobody holds.
        idle_j = driver.idle_w * cpu.covered_s
        share = (cpu.energy_j.value - cpu.active_j.value) / idle_j
        assert 1 / CPUS * 0.8 <= share <= 1

"""``track()``: this process metered from within, with real children, threads and forks."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from support.fleet import until

from providers.errors import NoData
from providers.meters import model
from providers.runner import proc
from scheduler.errors import ConfigError, UsageError
from scheduler.meter import Run, own, track, tracking
from scheduler.testing import FakeMeter
from scheduler.testing.boards import FakeBoard
from scheduler.testing.nvml import FakeNvml

PYTHON = [sys.executable, "-I", "-S", "-c"]
BURN = "import os,time\nwhile time.process_time() < {s}: pass\nos._exit(0)"
# CPU seconds of /proc come in hundredths, rounded down at each look at each of two processes.
TICKS_S = 0.05


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("LOWTIDE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def cpu_s(run: Run) -> float:
    """CPU seconds that the last sample of a run tells."""
    return run._read().samples[-1].cpu_s


def test_a_block_has_energy_carbon_and_its_story() -> None:
    with track(zone="DE", unit="epochs", name="mine") as run:
        burn(0.3)
        run.add(2)
        run.add()
    made = run.report()
    assert made.energy_kwh is not None
    assert made.operational_g is not None
    assert made.active_kwh is not None
    assert 0 < made.active_kwh.value < made.energy_kwh.value < made.energy_kwh.high
    assert made.operational_g.low < made.operational_g.value < made.operational_g.high
    assert {c.name for c in made.components} == {"cpu", "dram"}
    content = made.json()
    assert (content["name"], content["zone"], content["state"]) == ("mine", "DE", "succeeded")
    assert content["functional_unit"] == {"name": "epochs", "count": 3.0}
    json.dumps(content, allow_nan=False)
    assert "mine  succeeded" in str(run)
    assert run._repr_html_().startswith("<pre>")
    assert "&#x27;" in run._repr_html_() or "'" not in str(run)
    assert run.report().json()["energy_kwh"] == content["energy_kwh"]


def test_without_a_place_there_is_energy_and_the_reason() -> None:
    with track() as run:
        pass
    made = run.report()
    assert made.energy_kwh is not None
    assert made.operational_g is None
    assert "a place is never guessed" in made.nulls["operational_g"]


def test_only_what_is_done_inside_counts_children_included() -> None:
    burn(0.3)
    subprocess.run([*PYTHON, BURN.format(s=0.3)], check=True)
    before = time.process_time()
    with track() as run:
        burn(0.2)
        for _ in range(10):
            subprocess.run([*PYTHON, BURN.format(s=0.03)], check=True)
        own_s = time.process_time() - before
    told = cpu_s(run)
    assert told >= own_s + 10 * 0.03 - 0.05
    assert told < own_s + 10 * 0.03 + 10 * 0.5


def test_a_child_that_lived_before_counts_from_the_entry_on() -> None:
    child = subprocess.Popen([*PYTHON, "while True: pass"])

    def child_s() -> float:
        found = proc.stat(child.pid)
        assert found is not None
        return found.cpu_s

    try:
        until(lambda: child_s() >= 1)
        before, own_before = child_s(), time.process_time()
        with track() as run:
            begun = child_s()
            until(lambda: child_s() >= begun + 0.1)
            inside = child_s() - begun
        most = child_s() - before + time.process_time() - own_before
    finally:
        child.kill()
        child.wait()
    assert inside - TICKS_S <= cpu_s(run) <= most + TICKS_S


def test_an_exception_passes_and_is_in_the_report() -> None:
    with pytest.raises(RuntimeError, match="mine"), track() as run:
        raise RuntimeError("mine")
    assert run.report().job.state == "failed"


def test_a_typo_is_told_before_the_block() -> None:
    ran = False
    for error, place in (
        (NoData, {"zone": "XYZ"}),
        (UsageError, {"region": "aws:nowhere"}),
        (ConfigError, {"config": "absent.yaml"}),
        (ValueError, {"slots": 0}),
        (ValueError, {"interval_s": 0.0}),
    ):
        with pytest.raises(error), track(**place):  # type: ignore[arg-type]
            ran = True
    assert not ran


def test_a_decorated_function_is_a_run_at_each_call() -> None:
    runs: list[Run] = []

    @track(zone="DE", then=runs.append)
    def work(depth: int) -> int:
        return depth if depth == 0 else work(depth - 1)

    assert work(1) == 0
    assert len({run.id for run in runs}) == 2
    assert all(run.report().energy_kwh is not None for run in runs)


def test_nested_runs_overlap_and_say_so() -> None:
    with track() as outer:
        burn(0.1)
        with track() as inner:
            burn(0.1)
    with track() as alone:
        pass
    assert cpu_s(outer) > cpu_s(inner)
    for run in (outer, inner):
        assert tracking.OVERLAPS in run.report().notes
    assert tracking.OVERLAPS not in alone.report().notes


def test_runs_of_several_threads_end_in_any_order() -> None:
    def one(wait_s: float) -> None:
        with track() as run:
            time.sleep(wait_s)
        runs.append(run)

    runs: list[Run] = []
    threads = [threading.Thread(target=one, args=(0.05 * n,)) for n in (3, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 3
    assert all(run.report().energy_kwh is not None for run in runs)
    assert set() == tracking._OPEN


def test_several_processes_at_once_need_nothing_from_each_other(tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text(
        "from scheduler.meter import track\n"
        "with track(zone='DE') as run: sum(range(10**6))\n"
        "assert run.report().operational_g.value > 0\n"
    )
    running = [subprocess.Popen([sys.executable, str(script)]) for _ in range(3)]
    assert [p.wait(60) for p in running] == [0, 0, 0]


def test_a_forked_child_ends_without_touching_the_record() -> None:
    """It leaves the block as the parent does; its work counts as that of a child."""
    script = textwrap.dedent(
        """
        import os, time
        from scheduler.meter import track
        with track() as run:
            if not (pid := os.fork()):
                end = time.process_time() + 0.4
                while time.process_time() < end: pass
            else:
                os.waitpid(pid, 0)
        if pid:
            assert run._read().samples[-1].cpu_s >= 0.4
            print(run.report().job.state)
        """
    )
    # Python 3.12 warns of a fork beside threads; what follows here does no more than compute.
    quiet = ["-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *quiet, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("succeeded\n", "")


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = threading.active_count()
    with track(zone="DE") as run:
        assert run.report().job.state == "running"
        assert [p.name for p in scratch.iterdir()] != []
    run.report()
    assert list(scratch.iterdir()) == []
    assert threading.active_count() == before
    assert not (tmp_path / "home").exists()


def test_a_meter_that_fails_or_hangs_never_harms_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "END_PATIENCE_S", 0.2)
    hang = threading.Event()

    class Hangs(FakeMeter):
        def open(self, scope: object) -> Hangs:
            return self

        def sample(self, usage: object) -> tuple[()]:
            hang.wait(30)
            return ()

    class Fails(FakeMeter):
        def open(self, scope: object) -> Fails:
            raise RuntimeError("no such board")

    monkeypatch.setattr(model, "KIND", Fails())
    with track(slots=1) as run:
        pass
    made = run.report()
    assert any("no such board" in note for note in made.notes)
    assert made.energy_kwh is None
    assert made.nulls["energy_kwh.reserved"]
    monkeypatch.setattr(model, "KIND", Hangs())
    begun = time.monotonic()
    with track() as run:
        pass
    assert time.monotonic() - begun < 5
    assert tracking.HANGS in run.report().notes
    hang.set()


def test_no_room_for_a_record_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with track() as run:
        pass
    monkeypatch.undo()
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    made = run.report()
    assert made.energy_kwh is None
    assert any("no energy journal" in note for note in made.notes)


def test_work_of_no_unit_cannot_be_counted() -> None:
    with track() as run:
        with pytest.raises(ValueError, match="no unit"):
            run.add()
        run.add(4, "tokens")
        run.metric("accuracy", 0.5)
        run.metric("accuracy", 0.75)
    content = run.report().json()
    assert content["functional_units"][0]["count"] == 4
    assert content["metrics"] == {"accuracy": 0.75}


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boards; this very process computes on the second one."""
    made = [FakeBoard("GPU-aaaa", 50.0), FakeBoard("GPU-bbbb", 300.0, pids={os.getpid(): 50})]
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(made, time.monotonic))


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize("mask", ["GPU-bbbb", "GPU-b", "1"])
def test_boards_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch, mask: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    with track() as run:
        pass
    assert run.gpus == ("GPU-bbbb",)
    assert [c.name for c in run.report().components if c.name.startswith("gpu:")] == [
        "gpu:GPU-bbbb"
    ]


@pytest.mark.usefixtures("boards")
def test_without_a_mask_boards_are_those_on_which_it_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with track(interval_s=0.1) as run:
        until(lambda: any(c.name == "gpu:GPU-bbbb" for c in run._read().components))
        time.sleep(1.0)
    made = run.report()
    (board,) = [c for c in made.components if c.name.startswith("gpu:")]
    assert (board.name, board.method) == ("gpu:GPU-bbbb", "measured")
    assert board.energy_kwh is not None
    assert board.energy_kwh.value > 0
    assert any("no board was named" in note for note in made.notes)


def test_a_board_that_nobody_reads_is_missing_and_not_zero() -> None:
    with track(gpus=["GPU-absent"]) as run:
        pass
    made = run.report()
    board = next(c for c in made.components if c.name == "gpu:GPU-absent")
    assert (board.method, board.energy_kwh) == ("missing", None)


def test_usage_never_falls_while_children_come_and_go() -> None:
    tree = own.OwnTree()
    seen = []
    children = [subprocess.Popen([*PYTHON, BURN.format(s=0.05 * n)]) for n in range(4)]
    while any(child.poll() is None for child in children):
        seen.append(tree.usage()[0])
        assert os.getpid() in tree.living
    seen.append(tree.usage()[0])
    assert seen == sorted(seen)
    assert seen[-1] <= sum(
        getattr(resource.getrusage(who), part)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for part in ("ru_utime", "ru_stime")
    )


def test_control_c_leaves_the_block_as_ever() -> None:
    script = (
        "import os, signal\nfrom scheduler.meter import track\n"
        "try:\n    with track() as run: os.kill(os.getpid(), signal.SIGINT); input()\n"
        "except KeyboardInterrupt: print(run.report().job.state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stdout == "failed\n", done.stderr

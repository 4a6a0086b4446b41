"""The runner with real jobs: what they get, what is metered, what is left behind."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.bench import BURN, PYTHON, Bench

from providers.executors.local import build
from providers.runner import journal, proc


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_gets_its_environment_and_its_streams_are_kept(bench: Bench) -> None:
    receipt, folder = bench.run("sh", "-c", "env; echo complaint >&2; cat; exit 3")
    variables = dict(
        line.split("=", 1) for line in (folder / "stdout.log").read_text().splitlines()
    )
    assert variables["KEPT"] == "yes"
    assert variables["LOWTIDE_JOB_ID"] == "j1"
    assert variables["LOWTIDE_ATTEMPT"] == "2"
    assert variables["LOWTIDE_REGION"] == "local"
    assert variables["LOWTIDE_UNITS"] == str(bench.root / "units")
    assert variables["LOWTIDE_RUN"] == f"token-of-{bench.root}-0"
    assert "CUDA_VISIBLE_DEVICES" not in variables
    assert "PYTHONPATH" not in variables
    assert (folder / "stderr.log").read_text() == "complaint\n"
    assert (receipt.reason, receipt.exit_code, receipt.signal) == ("exited", 3, None)


def test_nobody_else_can_read_a_run_folder(bench: Bench) -> None:
    _, folder = bench.run("true")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert {"started", "process.json", "journal.jsonl", "receipt.json", "launch.json"} <= set(modes)


def test_a_job_starts_with_a_clean_slate_of_signals_and_a_session_of_its_own(bench: Bench) -> None:
    _, folder = bench.run("sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o sid= $$")
    blocked, ignored, session = (folder / "stdout.log").read_text().splitlines()
    assert int(blocked.split()[1], 16) == 0
    libc_own = 0b11 << 31  # signals 32 and 33, which no program can set
    assert int(ignored.split()[1], 16) & ~libc_own == 0
    first = json.loads((folder / "process.json").read_text())
    assert int(session) == first["pid"]


def test_the_journal_runs_from_zero_at_the_start_to_the_end(bench: Bench) -> None:
    receipt, folder = bench.run(*PYTHON, BURN.format(s=0.7))
    found = journal.read_journal(folder)
    first, last = found.samples[0], found.samples[-1]
    assert first.at == receipt.started_at
    assert all(r.energy_j.high == 0 for r in first.readings)
    assert last.at == pytest.approx(receipt.ended_at, abs=0.5)
    assert last.cpu_s == receipt.cpu_s >= 0.7
    assert len(found.samples) >= 4
    assert found.notes == ()
    assert found.meta["meters"] == {"cpu": "model", "dram": "model"}
    for before, after in zip(found.samples, found.samples[1:], strict=False):
        assert before.at <= after.at
        assert before.cpu_s <= after.cpu_s


def test_many_short_children_are_charged_like_one_long_one(bench: Bench) -> None:
    """Energy per CPU second of 50 children of 0.4 s within 5 % of one of 20 s.

    ``process_time`` counts a child's whole CPU time, so 20 s is the truth on both sides.
    """
    short = (*PYTHON, BURN.format(s=0.4))
    loop = 'n=0; while [ $n -lt 50 ]; do "$@"; n=$((n+1)); done'
    commands = (("sh", "-c", loop, "sh", *short), (*PYTHON, BURN.format(s=20.0)))
    launches = [bench.start(*argv, interval_s=1.0) for argv in commands]
    per_s = []
    for launch in launches:
        receipt = bench.wait(launch, patience_s=300.0)
        last = journal.read_journal(Path(launch.run_dir)).samples[-1]
        energy = {r.component: r.active_j.value for r in last.readings}
        assert receipt.cpu_s >= 20.0
        per_s.append(energy["cpu"] / 20.0)
    many, one = per_s
    assert many == pytest.approx(one, rel=0.05)


DOUBLE_FORK = """
import os, sys, time
if os.fork():
    sys.exit(4)
os.setsid()
if os.fork():
    os._exit(0)
while time.process_time() < 0.6: pass
open("orphan", "w").write(str(os.getppid()))
"""


def test_an_orphan_is_counted_and_waited_for(bench: Bench) -> None:
    receipt, _ = bench.run(*PYTHON, DOUBLE_FORK)
    assert receipt.exit_code == 4
    assert receipt.cpu_s >= 0.6
    assert (bench.root / "orphan").exists()


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
open(f"up-{os.getpid()}", "w").close()
time.sleep(600)
"""


def _stubborn_pids(bench: Bench) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in bench.root.glob("up-*")]


def test_a_tree_that_ignores_term_is_killed_after_the_grace(bench: Bench) -> None:
    launch = bench.start(*PYTHON, STUBBORN, grace_s=0.4)
    bench.until(lambda: len(_stubborn_pids(bench)) == 2)
    asked = time.time()
    build({}, bench.root).stop(Path(launch.run_dir), launch.token, 0.4)
    receipt = bench.wait(launch)
    assert (receipt.reason, receipt.signal, receipt.exit_code) == ("stopped", 9, None)
    assert receipt.ended_at - asked >= 0.3
    assert [proc.stat(pid) for pid in _stubborn_pids(bench)] == [None, None]


def test_a_stopped_process_of_the_tree_is_ended_too(bench: Bench) -> None:
    launch = bench.start("sh", "-c", "touch up; kill -STOP $$")
    bench.until((bench.root / "up").exists)
    build({}, bench.root).stop(Path(launch.run_dir), launch.token, 5.0)
    assert bench.wait(launch).signal == 15


def test_the_time_limit_ends_a_job(bench: Bench) -> None:
    receipt, _ = bench.run("sleep", "600", time_limit_s=0.5)
    assert (receipt.reason, receipt.signal) == ("time_limit", 15)
    assert receipt.ended_at - receipt.started_at >= 0.5


def test_a_second_runner_on_the_same_folder_starts_nothing(bench: Bench) -> None:
    launch = bench.start("sh", "-c", "echo once >> starts; sleep 0.5")
    bench.until((bench.root / "starts").exists)
    rival = [sys.executable, "-P", "-m", "providers.runner", launch.run_dir]
    done = subprocess.run(rival, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == "this attempt was started before\n"
    assert bench.wait(launch).exit_code == 0
    subprocess.run(rival, capture_output=True, timeout=30, check=True)
    assert (bench.root / "starts").read_text() == "once\n"


@pytest.mark.parametrize("fault", ["full", "no file", "removed"])
def test_a_job_ends_well_whatever_becomes_of_its_journal(bench: Bench, fault: str) -> None:
    folder = bench.root / "run-0"
    folder.mkdir(mode=0o700)
    record = folder / "journal.jsonl"
    if fault == "full":
        record.symlink_to("/dev/full")
    elif fault == "no file":
        record.mkdir()
    launch = bench.start(
        "sh", "-c", "sleep 0.5; echo done", run_dir=str(folder), token=f"token-of-{bench.root}"
    )
    if fault == "removed":
        bench.until(record.exists)
        record.unlink()
    assert bench.wait(launch).exit_code == 0
    assert (folder / "stdout.log").read_text() == "done\n"
    if fault != "full":
        assert journal.read_journal(folder).samples == ()
    assert ("journal" in (folder / "runner.log").read_text()) == (fault != "removed")


@pytest.mark.parametrize(
    ("argv", "fields", "said"),
    [
        (("no-such-command",), {}, "'no-such-command': no such executable on the job's PATH"),
        (("./absent",), {}, "no such executable"),
        (("true",), {"cwd": "/no/such/folder"}, "No such file or directory: /no/such/folder"),
        (("true",), {"env": "{"}, "Expecting property name"),
        (("true",), {"env": "[1]"}, "no JSON object"),
        (("true",), {"env": '{"A": 1}'}, "str"),
        (("true",), {"env": '{"A": "a\\u0000b"}'}, "null"),
        (("true",), {"env_file": "/no/such/env"}, "No such file or directory: /no/such/env"),
    ],
)
def test_what_cannot_be_started_leaves_a_receipt_that_says_why(
    bench: Bench, argv: tuple[str, ...], fields: dict[str, Any], said: str
) -> None:
    receipt, folder = bench.run(*argv, **fields)
    assert (receipt.reason, receipt.exit_code, receipt.signal) == ("not_started", None, None)
    assert receipt.error is not None
    assert receipt.error.startswith("cannot start")
    assert said in receipt.error
    assert not (folder / "process.json").exists()


def test_a_command_is_looked_up_in_the_jobs_own_folder_and_path(bench: Bench) -> None:
    for place, word in (("here", "relative"), ("bin", "on the path")):
        (bench.root / place).mkdir()
        script = bench.root / place / "tool"
        script.write_text(f"#!/bin/sh\necho {word}\n")
        script.chmod(0o755)
    env = json.dumps({"PATH": str(bench.root / "bin")})
    for argv, word in ((("./here/tool",), "relative"), (("tool",), "on the path")):
        receipt, folder = bench.run(*argv, env=env)
        assert receipt.exit_code == 0
        assert (folder / "stdout.log").read_text() == f"{word}\n"


def test_boards_are_handed_on_by_uuid_and_are_missing_without_a_meter(bench: Bench) -> None:
    _, folder = bench.run("sh", "-c", "env | grep CUDA | sort", gpus=("GPU-a", "GPU-b"))
    assert (folder / "stdout.log").read_text().splitlines() == [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b",
    ]
    found = journal.read_journal(folder)
    methods = {c.name: c.method for c in found.components}
    assert methods["gpu:GPU-a"] == methods["gpu:GPU-b"] == "missing"
    read = {r.component for sample in found.samples for r in sample.readings}
    assert read == {"cpu", "dram"}


def test_a_meter_that_cannot_be_had_is_noted_and_the_next_one_serves(bench: Bench) -> None:
    receipt, folder = bench.run("true", meters=("no-such-meter", "model"))
    found = journal.read_journal(folder)
    assert receipt.exit_code == 0
    assert "meter no-such-meter is not used" in found.notes[0]
    assert {c.name for c in found.components} == {"cpu", "dram"}


def test_a_job_without_any_meter_still_runs_and_has_no_readings(bench: Bench) -> None:
    receipt, folder = bench.run("true", meters=())
    found = journal.read_journal(folder)
    assert receipt.exit_code == 0
    assert found.components == ()
    assert all(sample.readings == () for sample in found.samples)

"""The main job with real processes: daemon, runner, job; and what is left when one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOWTIDE = (sys.executable, "-P", "-m", "scheduler")
CONFIG = """
regions:
  local: {zone: DE, hardware: {ccf_server: {memory_gb: 32}}}
tick: 1s
grace: 2s
"""
PATIENCE_S = 180.0


class Shell:
    """The real command in processes of its own, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(CONFIG)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
        self.env = kept | {"LOWTIDE_HOME": str(folder / "home")}
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LOWTIDE, *argv],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def __call__(self, *argv: str, code: int = 0) -> str:
        done = self.run(*argv)
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def json(self, *argv: str) -> Any:
        return json.loads(self(argv[0], "--json", *argv[1:]))

    def start(self, *argv: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*LOWTIDE, *argv],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def submit(self, *argv: str, options: tuple[str, ...] = ()) -> str:
        job_id: str = self.json(
            "submit", "--duration", "20s", "--deadline", "21s", *options, "--", *argv
        )["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("show", job_id)["job"]
        return found

    def until(self, true: Callable[[], Any], *, ticking: bool = False) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if ticking:
                self("tick")
            found = true()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError("it did not come about")

    def marker(self, job_id: str) -> Path:
        return self.folder / "home" / "runs" / job_id / "1" / "started"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def test_a_killed_daemon_loses_nothing(shell: Shell, tmp_path: Path) -> None:
    """The energy of the time without a daemon is in the report; the job started once."""
    daemon = shell.start("up")
    starts = tmp_path / "starts"
    gate = tmp_path / "gate"
    job_id = shell.submit(
        "sh", "-c", f"echo started >> {starts}; while [ ! -e {gate} ]; do sleep 0.05; done"
    )
    shell.until(starts.exists)
    daemon.kill()
    daemon.wait()
    time.sleep(2.5)  # lives on without a daemon
    gate.touch()
    shell.until(lambda: shell.job(job_id)["state"] == "succeeded", ticking=True)
    report = shell.json("report", job_id)["jobs"][0]
    assert starts.read_text() == "started\n"
    assert report["status"] == "final"
    # A loaded machine may look a moment after the end; without a runner most would be missing.
    assert all(c["coverage_percent"] > 90 for c in report["components"])
    watts = report["energy_kwh"]["reserved"]["value"] * 3.6e6
    assert watts > 2.5 * 0.3, "at least idle power over the time between"


def test_a_killed_runner_leaves_a_running_job_with_a_gap_then_lost(
    shell: Shell, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job_id = shell.submit("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    shell("tick")
    shell.until(lambda: shell.job(job_id)["state"] == "running", ticking=True)
    os.kill(json.loads(shell.marker(job_id).read_text())["pid"], signal.SIGKILL)
    shell("tick")
    assert shell.job(job_id)["state"] == "running", "its processes live"
    story = shell.json("why", job_id)["job"]["events"]
    assert any(e["kind"] == "gap" for e in story)
    gate.touch()
    shell.until(lambda: shell.job(job_id)["state"] == "lost", ticking=True)
    report = shell.json("report", job_id)["jobs"][0]
    assert report["state"] == "lost"
    assert report["attempts"][0]["exit_code"] is None
    assert "cut off" in report["attempts"][0]["attribution"]


def test_a_job_whose_runner_died_can_be_cancelled(shell: Shell) -> None:
    job_id = shell.submit("sh", "-c", "trap '' TERM; sleep 300 & sleep 301")
    shell.until(lambda: shell.job(job_id)["state"] == "running", ticking=True)
    marker = json.loads(shell.marker(job_id).read_text())
    tree = _marked(shell, job_id)
    assert tree
    os.kill(marker["pid"], signal.SIGKILL)
    shell("cancel", job_id)
    shell.until(lambda: shell.job(job_id)["state"] == "cancelled", ticking=True)
    assert not any(_alive(pid) for pid in tree)


def _marked(shell: Shell, job_id: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"LOWTIDE_JOB_ID={job_id}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_cancel_stops_the_whole_tree(shell: Shell) -> None:
    job_id = shell.submit("sh", "-c", "trap '' TERM; (setsid sleep 300 &); sleep 301")
    shell.until(lambda: len(_marked(shell, job_id)) >= 3, ticking=True)
    tree = _marked(shell, job_id)
    shell("cancel", job_id)
    shell.until(lambda: shell.job(job_id)["state"] == "cancelled", ticking=True)
    assert not any(_alive(pid) for pid in tree)


def test_run_passes_on_output_and_exit_code(shell: Shell) -> None:
    script = "echo out; echo err >&2; exit 7"
    done = shell.run("run", "--", "sh", "-c", script)
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert "err\n" in done.stderr


def test_run_tells_a_signal_as_a_shell_does(shell: Shell) -> None:
    shell("run", "--now", "--duration", "1h", "--", "sh", "-c", "kill -KILL $$", code=137)


def test_ctrl_c_before_the_start_cancels(shell: Shell) -> None:
    process = shell.start("run", "--duration", "1h", "--earliest", "3h", "--", "true")
    shell.until(lambda: shell.json("status")["jobs"])
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    assert shell.json("status")["jobs"][0]["state"] == "cancelled"


def test_ctrl_c_after_the_start_sends_term_to_the_job(shell: Shell, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'echo stopping; exit 9' TERM; touch {ready}; while :; do sleep 0.05; done"
    process = shell.start("run", "--", "sh", "-c", script)
    shell.until(ready.exists)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 9
    assert out == "stopping\n"


def test_a_second_daemon_is_refused_with_exit_5(shell: Shell) -> None:
    first = shell.start("up")
    shell.until((shell.folder / "home" / "daemon.lock").exists)
    shell.until(lambda: (shell.folder / "home" / "daemon.lock").read_text().strip())
    done = shell.run("up")
    assert done.returncode == 5
    assert "another lowtide daemon" in done.stderr.splitlines()[-1]
    first.terminate()
    assert first.wait(PATIENCE_S) == 0


def test_a_daemon_starts_a_job_at_its_window_and_settles_it(shell: Shell) -> None:
    shell.start("up")
    job_id = shell.submit("true")
    shell.until(lambda: shell.job(job_id)["state"] == "succeeded")
    shell.until(lambda: shell.json("report", job_id)["jobs"][0]["status"] == "final")
    totals = shell.json("report", "--since", "1h", "--group-by", "user")
    assert totals["totals"]["jobs"] == 1
    assert totals["groups"][0]["jobs"] == 1


def test_status_tells_the_end_of_a_job_also_when_nobody_ticks(shell: Shell) -> None:
    job_id = shell.submit("true")
    shell("tick")
    shell.until(lambda: shell.json("status")["jobs"][0]["state"] == "succeeded")
    assert shell.json("report", job_id)["jobs"][0]["status"] == "final"


def test_wait_sleeps_to_the_window_and_exits_0(shell: Shell) -> None:
    begun = time.time()
    found = shell.json("wait", "--duration", "1h", "--earliest", "2s", "--min-saving", "100%")
    assert time.time() - begun >= 2
    assert found["plan"]["start"]
    assert shell.json("status")["jobs"] == [], "it queues nothing"


def test_submit_says_when_nobody_looks_after_the_queue(shell: Shell) -> None:
    done = shell.run("submit", "--duration", "1h", "--", "true")
    assert len(done.stdout.splitlines()) == 2
    assert "lowtide up" in done.stderr
    shell("tick")
    done = shell.run("submit", "--duration", "1h", "--", "true")
    assert "lowtide up" not in done.stderr


def test_a_time_limit_stops_the_job_and_a_longer_run_than_told_goes_on(shell: Shell) -> None:
    limited = shell.submit("sleep", "300", options=("--time-limit", "1s"))
    over = shell.json("submit", "--duration", "1s", "--deadline", "2s", "--", "sleep", "3")[
        "job_id"
    ]
    shell.until(lambda: shell.job(limited)["state"] == "failed", ticking=True)
    shell.until(lambda: shell.job(over)["state"] == "succeeded", ticking=True)
    assert "time limit" in shell.job(limited)["reason"]
    assert "longer than" in shell("report", over)
    assert shell.json("report", over)["jobs"][0]["deadline_met"] is False

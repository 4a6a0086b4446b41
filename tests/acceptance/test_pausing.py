"""A real job pauses at the end of its segment and goes on at the next, with the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import aftermath

from scheduler.models import JobState

pytest.importorskip("sklearn", reason="the example trains with scikit-learn")

if TYPE_CHECKING:
    from collections.abc import Callable

TRAIN = Path(__file__).parents[2] / "examples" / "train_digits.py"
LOWTIDE = (sys.executable, "-P", "-m", "scheduler")
EPOCHS = 14
PATIENCE_S = 300.0
CONFIG = """
providers: [history]
sources: {history: {type: trace, path: trace.csv}}
tick: 1s
regions:
  local: {zone: DE}
"""
# In steps of 6 s: from EARLIEST on two segments of 6 s and 34 s are the cheapest, with 12 s between
# them. A busy machine has until then to submit.
EARLIEST = 10
LOW = {EARLIEST, *range(EARLIEST + 3, EARLIEST + 9)}
JOB = (
    "--pausable", "--resume-overhead", "0s", "--min-run", "3s", "--duration", "40s",
    "--deadline", "10m", "--power", "50W", "--unit", "epochs",
)  # fmt: skip


class Home:
    """A home with a trace of its own, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(CONFIG)
        begin = datetime.now(UTC).replace(microsecond=0)
        rows = [
            f"{begin + timedelta(seconds=6 * i):%Y-%m-%dT%H:%M:%SZ},DE,{50 if i in LOW else 500}"
            for i in range(-20, 200)
        ]
        (folder / "trace.csv").write_text("\n".join(["timestamp_utc,region,g_per_kwh", *rows]))
        earliest = begin + timedelta(seconds=6 * EARLIEST)
        self.job_options = (*JOB, "--earliest", earliest.isoformat())
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
        self.env = kept | {"LOWTIDE_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*LOWTIDE, *argv],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *argv: str) -> Any:
        child = self.start(*argv, "--json")
        out, err = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 0, err
        return json.loads(out)

    def job(self) -> dict[str, Any]:
        job_id = self.json("status")["jobs"][0]["job_id"]
        found: dict[str, Any] = self.json("show", job_id)["job"]
        return found

    def until(self, true: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if found := true():
                return found
            time.sleep(0.2)
        raise AssertionError(f"it did not come about: {self.job()}")


def _train(*options: str) -> tuple[str, ...]:
    return (sys.executable, str(TRAIN), "--epochs", str(EPOCHS), "--min-seconds", "1", *options)


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The last line of an unbroken run."""
    done = subprocess.run(
        [sys.executable, str(TRAIN), "--epochs", str(EPOCHS)],
        cwd=tmp_path_factory.mktemp("unbroken"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_a_training_pauses_by_its_checkpoint_and_ends_as_an_unbroken_one(
    tmp_path: Path, accuracy: str
) -> None:
    home = Home(tmp_path)
    child = home.start("run", *home.job_options, "--", *_train())
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0, err
    lines = out.splitlines()
    assert lines[-1] == accuracy
    epochs = [line.split("/")[0] for line in lines if line.startswith("epoch ")]
    assert epochs == [f"epoch {n}" for n in range(1, EPOCHS + 1)]
    job = home.job()
    assert [a["outcome"] for a in job["attempts"]] == ["paused", "succeeded"]
    assert [a["exit_code"] for a in job["attempts"]] == [75, 0]
    apart = datetime.fromisoformat(job["ended_at"]) - datetime.fromisoformat(job["started_at"])
    assert job["duration"]["actual_s"] < apart.total_seconds() - 1
    report = home.json("report", job["job_id"])["jobs"][0]
    assert report["functional_unit"] == {"name": "epochs", "count": EPOCHS}
    assert len(report["attempts"]) == 2
    told = report["planned_against_realized"]
    assert told is not None, report["null_reasons"]
    errors = [told[f"{cause}_error_g"] for cause in ("forecast", "start", "duration", "power")]
    assert sum(errors) == pytest.approx(told["difference_g"], rel=1e-9)
    assert len(job["plan"]["segments"]) >= 2


@pytest.mark.parametrize("mode", ["checkpoint", "stop"])
def test_a_pause_outlives_its_watcher(tmp_path: Path, accuracy: str, mode: str) -> None:
    home = Home(tmp_path)
    watcher = home.start("run", *home.job_options, "--pause-signal", mode, "--", *_train())
    with aftermath.opened(tmp_path / "home") as store:
        home.until(lambda: store.jobs.find({JobState.PAUSED}))
    watcher.kill()
    watcher.communicate()
    daemon = home.start("up")
    try:
        home.until(lambda: home.job()["ended_at"])
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=PATIENCE_S)
    job = home.job()
    assert job["state"] == "succeeded"
    assert job["attempt"] == (2 if mode == "checkpoint" else 1)
    log = tmp_path / "home" / "runs" / job["job_id"] / str(job["attempt"]) / "stdout.log"
    assert log.read_text().splitlines()[-1] == accuracy

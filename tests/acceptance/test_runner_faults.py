"""What befalls metering leaves the job alone, and the record says what is missing."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.bench import Bench
from support.engines import absent

from providers.base import Launch, Receipt
from providers.runner import journal
from scheduler.sci import AttemptRecord
from scheduler.sci.energy import Energy, tally

NOBODY = 65534
# Says how far it is, waits, and ends with a word and a code of its own.
JOB = (
    "sh",
    "-c",
    "echo begun; touch up; while [ ! -e go ]; do sleep 0.05; done; echo ended; exit 5",
)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """In a folder that other users can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        found = Bench(Path(folder))
        yield found
        found.close()


def _begin(bench: Bench, launch: Launch) -> Path:
    """Wait until the job runs and is metered."""
    folder = Path(launch.run_dir)
    bench.until((folder / "process.json").exists)
    bench.until((bench.root / "up").exists)
    bench.until(lambda: len(journal.read_journal(folder).samples) > 1)
    return folder


def _is_unharmed(folder: Path, receipt: Receipt) -> bool:
    said = (folder / "stdout.log").read_text()
    return (receipt.reason, receipt.exit_code, said) == ("exited", 5, "begun\nended\n")


def _told(folder: Path, receipt: Receipt, more_s: float = 0.0) -> Energy:
    """What a report is made of, had the job run ``more_s`` longer."""
    begun, ended = (datetime.fromtimestamp(t, UTC) for t in (receipt.started_at, receipt.ended_at))
    found = journal.read_journal(folder)
    ended += timedelta(seconds=more_s)
    return tally([AttemptRecord(begun, ended, receipt.exit_code, found)])


def test_a_full_disk_costs_the_end_of_the_record_and_nothing_else(bench: Bench) -> None:
    """The runner alone may write no more: what it tries fails as on a disk without room."""
    launch = bench.start(*JOB)
    folder = _begin(bench, launch)
    runner = json.loads((folder / "started").read_text())["pid"]
    size = (folder / "journal.jsonl").stat().st_size
    receipt_bytes = 600
    limit = max(size, receipt_bytes)
    resource.prlimit(runner, resource.RLIMIT_FSIZE, (limit, limit))
    bench.until(lambda: "gap" in (folder / "runner.log").read_text())
    (bench.root / "go").touch()
    receipt = bench.wait(launch)
    assert _is_unharmed(folder, receipt)
    told = _told(folder, receipt, more_s=60.0)
    assert all(0 < c.coverage_percent < 50 for c in told.components)
    assert any("were not read" in note for note in told.notes)
    assert "cut off" in told.attempts[0].attribution


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """64 KiB of disk."""
    folder = Path(tempfile.mkdtemp())
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        folder.rmdir()
        absent("mounts", "no file system may be mounted here: run as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_receipt_is_left_once_a_full_disk_is_emptied(bench: Bench, small_disk: Path) -> None:
    launch = bench.start(*JOB, run_dir=str(small_disk / "run"), token=f"token-of-{small_disk}")
    folder = _begin(bench, launch)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as f, suppress(OSError):
        while f.write(b"\0" * 4096):
            pass
    (bench.root / "go").touch()
    ended = "ended\n"
    bench.until(lambda: (folder / "stdout.log").read_text().endswith(ended))
    bench.until(lambda: not _lives(folder))
    assert not (folder / "receipt.json").exists()
    filler.unlink()
    assert _is_unharmed(folder, bench.wait(launch))


def _lives(folder: Path) -> bool:
    """Whether the first process of the job is there."""
    pid = json.loads((folder / "process.json").read_text())["pid"]
    return Path(f"/proc/{pid}").exists()


# Root is stopped by no mode of a folder: then the runner becomes somebody else, once it is loaded.
NOT_ROOT = f"""
import resource  # which os.wait4 loads when it is first called
import os
from providers import host
from providers.meters import microarchitecture, model
from providers.meters.nvml import assigned
from providers.runner import runner
microarchitecture.here()
host.busy_cpu_s()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
"""


def test_a_run_folder_that_nobody_may_write_to_waits_for_its_receipt(bench: Bench) -> None:
    launch = bench.launch(*JOB)
    folder = Path(launch.run_dir)
    folder.mkdir(mode=0o700)
    journal.write_json(folder / "launch.json", asdict(launch))
    if os.geteuid() == 0:
        for path in (bench.root, folder, folder / "launch.json"):
            os.chown(path, NOBODY, NOBODY)
    bench.start_patched(NOT_ROOT, launch)
    _begin(bench, launch)
    folder.chmod(0o500)
    (bench.root / "go").touch()
    bench.until(lambda: not _lives(folder))
    assert not (folder / "receipt.json").exists()
    folder.chmod(0o700)
    receipt = bench.wait(launch)
    assert _is_unharmed(folder, receipt)
    # The journal was open before: its end is there, and the attempt is not charged for the wait.
    assert journal.read_journal(folder).samples[-1].at == pytest.approx(receipt.ended_at, abs=0.5)


RAISES = """
from providers.meters import model
def sample(self, usage):
    raise {error}
model.ModelMeter.sample = sample
"""


@pytest.mark.parametrize("error", ["OSError('gone')", "MemoryError()", "RecursionError('deep')"])
def test_a_meter_that_fails_at_every_sample_leaves_no_figure(bench: Bench, error: str) -> None:
    (bench.root / "go").touch()
    launch = bench.launch(*JOB)
    bench.start_patched(RAISES.format(error=error), launch)
    receipt = bench.wait(launch)
    folder = Path(launch.run_dir)
    assert _is_unharmed(folder, receipt)
    told = _told(folder, receipt)
    assert told.reserved_kwh is None
    assert {c.name for c in told.components} == {"cpu", "dram"}
    assert all(c.energy_kwh is None for c in told.components)
    assert sum("meter model failed" in note for note in told.notes) == 1
    assert told.cpu_s == receipt.cpu_s

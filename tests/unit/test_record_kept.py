"""Whatever fails after the run: its exit code passes through, and its record is kept."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from providers.base import Launch, Receipt
from providers.executors import foreground
from scheduler.cli.main import cli
from scheduler.meter import command, track

LOWTIDE = str(Path(sys.executable).with_name("lowtide"))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("LOWTIDE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def _no_entry(uid: int) -> None:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_a_user_without_passwd_entry_and_home_gets_a_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME", "LOWTIDE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", _no_entry)
    with track(zone="DE") as run:
        pass
    made = run.report()
    assert made.operational_g is not None
    assert made.job.spec.user == f"uid{os.geteuid()}"


def test_a_folder_removed_while_it_runs_loses_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with track(zone="DE") as run:
        gone.rmdir()
    assert run.report().job.spec.cwd == str(gone)
    with track() as later:  # and one that begins without a folder
        pass
    assert later.report().energy_kwh is not None


def test_a_machine_without_a_clock_of_its_boot_is_metered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    with track(zone="DE") as run:
        time.sleep(0.01)
    assert run.report().energy_kwh is not None


@pytest.mark.parametrize("error", [KeyError("uid"), MemoryError(), KeyboardInterrupt()])
def test_the_exit_code_passes_whatever_the_report_fails_of(
    error: BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def ends(launch: Launch, **_: object) -> Receipt:
        return Receipt(launch.job_id, 1, "exited", 1.0, 2.0, 7, None, 0.0)

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(foreground, "run", ends)
    monkeypatch.setattr(command, "report", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["meter", "--", "true"], standalone_mode=False) == 7
    said = capfd.readouterr().err
    kept = next(tmp_path.glob("lowtide-meter-*"))
    assert f"the record of the run is kept in {kept}" in said
    assert type(error).__name__ in said


def test_a_command_of_a_user_whom_passwd_does_not_list(tmp_path: Path) -> None:
    """In a folder that the command removes: both happen in containers (`docker run --user`)."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root, and setpriv of util-linux, to become another user")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    place, scratch = tmp_path / "open", tmp_path / "scratch"
    for folder in (place, scratch, place / "gone"):
        folder.mkdir()
        folder.chmod(0o777)
    # Coverage would write where such a user may not.
    gone = {"USER", "LOGNAME", "HOME", "COVERAGE_PROCESS_CONFIG"}
    kept = {k: v for k, v in os.environ.items() if k not in gone}
    as_stranger = [setpriv, "--reuid", "1234", "--regid", "1234", "--clear-groups"]
    if subprocess.run([*as_stranger, sys.executable, "-c", ""], check=False).returncode:
        pytest.skip("other users may not start this Python")
    done = subprocess.run(
        [*as_stranger, LOWTIDE, "meter", "--", "sh", "-c", f"rmdir {place}/gone; exit 7"],
        cwd=place / "gone",
        env={k: v for k, v in kept.items() if k != "LOWTIDE_HOME"} | {"TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "reserved" in done.stderr
    assert "Traceback" not in done.stderr

"""A pid that another process has now: it is not believed, not signalled, and holds nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from providers.executors import local
from providers.runner import group, holdings, proc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a token that marks none"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has what was a runner's pid."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def _runner(stranger: subprocess.Popen[bytes]) -> proc.Identity:
    """The runner that had the pid before."""
    seen = proc.identify(stranger.pid)
    assert seen is not None
    return replace(seen, start_ticks=seen.start_ticks - 1)


def _stands(process: subprocess.Popen[bytes]) -> bool:
    seen = proc.stat(process.pid)
    return process.poll() is None and seen is not None and seen.state != "T"


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("marker", ["started", "launched.json"])
def test_a_strangers_process_is_neither_our_runner_nor_signalled(
    tmp_path: Path, stranger: subprocess.Popen[bytes], marker: str, *, reboot: bool
) -> None:
    runner = _runner(stranger)
    if reboot:
        runner = replace(runner, start_ticks=runner.start_ticks + 1, boot_id="the one before")
    (tmp_path / "launch.json").write_text(json.dumps({"pause_signal": "stop"}))
    (tmp_path / marker).write_text(json.dumps({"at": time.time(), **asdict(runner)}))
    executor = local.Local()
    state = executor.poll(tmp_path, TOKEN)
    assert state.phase == ("gone" if marker == "started" else "absent")
    for verb in (executor.pause, executor.resume):
        verb(tmp_path, TOKEN)
    for _ in range(2):
        executor.stop(tmp_path, TOKEN, 0.0)
    assert _stands(stranger)


@pytest.mark.parametrize("refusal", [None, OSError(errno.ENOSYS, ""), AttributeError()])
def test_only_the_very_process_is_signalled(
    stranger: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception | None,
) -> None:
    if refusal is not None:  # Linux before 5.3, or a Python that was built for it

        def refuse(pid: int) -> int:
            raise refusal

        monkeypatch.setattr(os, "pidfd_open", refuse)
    runner = _runner(stranger)
    runner.send(signal.SIGKILL)
    replace(runner, boot_id="the one before").send(signal.SIGKILL)
    assert _stands(stranger)
    seen = proc.identify(stranger.pid)
    assert seen is not None
    seen.send(signal.SIGKILL)
    assert stranger.wait(60) == -signal.SIGKILL
    seen.send(signal.SIGKILL)  # it is gone, which is no error


def test_a_pid_that_changes_hands_before_the_signal_is_left_alone(
    stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = proc.identify(stranger.pid)
    assert seen is not None
    later = proc.stat(stranger.pid)
    assert later is not None
    reused = replace(later, start_ticks=later.start_ticks + 1)
    monkeypatch.setattr(proc, "stat", lambda _: reused)
    seen.send(signal.SIGKILL)
    assert _stands(stranger)


def test_a_strangers_process_holds_no_slots(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    runner = _runner(stranger)
    left = holdings.Entry(runner.pid, runner.start_ticks, 0, 1000, 0.0, None, "left")
    (tmp_path / left.name).touch()
    held = holdings.Holdings(1, "mine", tmp_path)
    assert held.within is None
    found = held.look()
    assert found.own_s > 0.01 * found.span_s
    held.close()


def test_what_may_outlive_a_boot_is_named_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no memory can be written to, pids of before the boot lie in the same folder."""
    monkeypatch.setattr(holdings, "MEMORY", holdings.Path("/nowhere"))
    assert proc.boot_id() in holdings.folder().name


def test_the_group_of_a_runner_whose_pid_is_reused_is_taken_away(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    runner, now = _runner(stranger), proc.identify(stranger.pid)
    assert now is not None
    for each in (runner, now):
        (tmp_path / f"{group.PREFIX}{each.pid}-{each.start_ticks}").mkdir()
    group._sweep(tmp_path)
    left = [folder.name for folder in tmp_path.iterdir()]
    assert left == [f"{group.PREFIX}{now.pid}-{now.start_ticks}"]

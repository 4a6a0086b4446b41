"""Who is asked to pause, and what is read of a pause."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from providers.executors.local import build
from providers.runner import pausing, proc

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("marker", "launch", "signalled"),
    [
        ("started", {"pause_signal": "stop"}, True),
        ("started", {"pause_signal": "checkpoint"}, True),
        ("started", {"pause_signal": None}, False),
        ("started", {}, False),
        ("launched.json", {"pause_signal": "stop"}, False),
    ],
)
def test_only_a_runner_that_waits_for_it_is_signalled(
    tmp_path: Path, marker: str, launch: dict[str, str | None], signalled: bool
) -> None:
    """A process without a handler stands for the runner: it dies of the first signal it gets."""
    with subprocess.Popen(["sleep", "600"]) as runner:
        (tmp_path / marker).write_text(json.dumps(asdict(proc.identify(runner.pid))))
        (tmp_path / "launch.json").write_text(json.dumps(launch))
        build({}, tmp_path).pause(tmp_path, "no such token")
        runner.terminate()
    assert runner.returncode == -(signal.SIGUSR1 if signalled else signal.SIGTERM)


@pytest.mark.parametrize(
    ("content", "stopped"),
    [
        ('{"pauses": [[1.0, 2.0], [3.0, null]]}', True),
        ('{"pauses": [[1.0, 2.0]]}', False),
        ('{"pauses": []}', False),
        ('{"pauses": [[]]}', False),
        ('{"pauses": 1}', False),
        ("{}", False),
        ("[", False),
    ],
)
def test_the_last_pause_tells_whether_it_lasts(tmp_path: Path, content: str, stopped: bool) -> None:
    (tmp_path / "pauses.json").write_text(content)
    assert pausing.is_stopped(tmp_path) is stopped


def test_without_a_pause_it_runs(tmp_path: Path) -> None:
    assert not pausing.is_stopped(tmp_path)


BLOCKS = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {10, 12}); print(flush=True)"


def test_a_signal_is_pending_until_it_is_taken() -> None:
    takes = "; input(); signal.sigwait({10}); print(flush=True); input()"
    command = [sys.executable, "-I", "-S", "-c", BLOCKS + takes]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert not proc.is_pending(child.pid, 10)
        child.send_signal(10)
        assert proc.is_pending(child.pid, 10)
        assert not proc.is_pending(child.pid, 12)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert not proc.is_pending(child.pid, 10)
        child.stdin.close()
        child.kill()
    assert not proc.is_pending(child.pid, 10)

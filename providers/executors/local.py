"""Jobs as processes of this machine, each under a detached runner of its own.

The caller may die at any moment: all that is known of an attempt stands in its run folder and
in the process table. Processes are looked up by pid, start time and boot id.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import Capabilities, Launch, RunState
from providers.errors import ExecutorError, SettingsError
from providers.executors.immediate import Immediate
from providers.files import make_folder
from providers.meters import nvml
from providers.runner import claims, journal, pausing, proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# The runner is imported from where this file was, whatever the current folder holds.
PACKAGES = Path(__file__).parents[2]
# A runner takes a signal at once, unless it waits for a disk or opens its meters.
TAKEN_S = 1.0


class Local(Immediate):
    """This machine."""

    capabilities = Capabilities()

    def slots(self) -> int:
        """Logical CPUs that this process may use."""
        return len(os.sched_getaffinity(0))

    def free_gpus(self, taken: frozenset[str]) -> tuple[str, ...]:
        """Boards without any process, as NVML sees them, that no job of ours holds."""
        held = taken | proc.held_boards() | claims.claimed()
        return tuple(uuid for uuid in nvml.idle_boards() if uuid not in held)

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        """Start the runner; a second call for the same attempt starts nothing twice."""
        run_dir = Path(launch.run_dir)
        try:
            make_folder(run_dir)
            if (run_dir / "started").exists() or self._on_its_way(run_dir):
                return
            journal.write_json(run_dir / "launch.json", asdict(launch))
            with _claimed(launch.gpus) as hand_over:
                seen = proc.identify(_spawn_runner(run_dir))
                hand_over(seen)
            if seen is not None:
                journal.write_json(run_dir / "launched.json", asdict(seen))
        except OSError as e:
            raise ExecutorError(f"the runner in {run_dir} cannot be started: {e}") from e

    def poll(self, run_dir: Path, token: str) -> RunState:
        """Where an attempt stands; a receipt that comes while we look wins."""
        _bury()
        receipt = journal.read_receipt(run_dir)
        if receipt is None:
            state = self._look(run_dir, token)
            receipt = journal.read_receipt(run_dir)
            if receipt is None:
                return state
        return RunState("ended", receipt.started_at, receipt)

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """TERM through the runner; without one TERM, and KILL once the grace is over."""
        runner = _identity(run_dir / "started") or _identity(run_dir / "launched.json")
        if runner is not None and runner.alive():
            runner.send(signal.SIGTERM, signal.SIGCONT)
            return
        # Should a runner still be on its way unseen, it finds the attempt taken.
        make_folder(run_dir)
        journal.claim(run_dir / "started", {"at": time.time()})
        now_s = time.time()
        late = now_s - journal.noted_s(run_dir / "stop.json", now_s) >= grace_s
        for left in proc.marked(token):
            left.send(signal.SIGKILL if late else signal.SIGTERM, signal.SIGCONT)

    def pause(self, run_dir: Path, token: str) -> None:
        """Through the runner, which obeys the first request and no other until it goes on.

        A runner without its mark may not wait for the signal yet, and would die of it.
        """
        runner = _identity(run_dir / "started")
        if _pause_signal(run_dir) is not None and runner is not None and runner.alive():
            _ask(runner, pausing.PAUSE, after=pausing.RESUME)

    def resume(self, run_dir: Path, token: str) -> None:
        """Through the runner; without one CONT, so that no job stays stopped for ever."""
        if _pause_signal(run_dir) != "stop" or not (run_dir / "started").exists():
            return
        runner = _identity(run_dir / "started")
        if runner is not None and runner.alive():
            _ask(runner, pausing.RESUME, after=pausing.PAUSE)
            return
        for left in proc.marked(token):
            left.send(signal.SIGCONT)

    def _look(self, run_dir: Path, token: str) -> RunState:
        marker = journal.read_json(run_dir / "started")
        if marker is None and not (run_dir / "started").exists():
            return RunState("running") if self._on_its_way(run_dir) else RunState("absent")
        started_at = journal.moment_s(marker)
        runner = _identity(run_dir / "started")
        if runner is not None and runner.alive():
            return RunState("paused" if pausing.is_stopped(run_dir) else "running", started_at)
        left = proc.marked(token)
        if left:
            pids = ", ".join(str(process.pid) for process in left[:5])
            return RunState("orphaned", started_at, detail=f"processes {pids} live on")
        return RunState("gone", started_at, detail="the runner died, exit unknown")

    def _on_its_way(self, run_dir: Path) -> bool:
        launched = _identity(run_dir / "launched.json")
        return launched is not None and launched.alive()


@contextmanager
def _claimed(boards: Sequence[str]) -> Iterator[Callable[[proc.Identity | None], None]]:
    """The boards are ours until they are handed to the runner; what fails gives them back."""
    me = proc.identify(os.getpid()) if boards else None
    if me is None:
        yield lambda runner: None
        return
    if not claims.take(boards, me):
        raise ExecutorError("another command was given one of its boards just now")
    try:
        yield lambda runner: claims.hand(boards, me, runner)
    finally:
        claims.hand(boards, me, None)


def _identity(path: Path) -> proc.Identity | None:
    content = journal.read_json(path)
    try:
        return (
            None
            if content is None
            else proc.Identity(
                int(content["pid"]), int(content["start_ticks"]), str(content["boot_id"])
            )
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _pause_signal(run_dir: Path) -> str | None:
    """How the attempt may be paused; None where it may not, or was started by a version that
    could not: its runner would die of the signal.
    """
    return (journal.read_json(run_dir / "launch.json") or {}).get("pause_signal")


def _ask(runner: proc.Identity, number: int, *, after: int) -> None:
    """Signals that wait together are taken in order of number: let an earlier request go first."""
    patience = time.monotonic() + TAKEN_S
    while proc.is_pending(runner.pid, after) and time.monotonic() < patience:
        time.sleep(0.002)
    runner.send(number, signal.SIGCONT)


def _runner_environment() -> dict[str, str]:
    """Little: the job's own environment comes from its file, not from ours."""
    names = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    kept = {k: v for k, v in os.environ.items() if k in names or k.startswith("COVERAGE_")}
    return kept | {"PYTHONPATH": str(PACKAGES)}


_RUNNERS: set[int] = set()


def _bury() -> None:
    """Leave no zombies of runners that this process started."""
    for pid in list(_RUNNERS):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0]
        except ChildProcessError:
            ended = pid
        if ended:
            _RUNNERS.discard(pid)


def _spawn_runner(run_dir: Path) -> int:
    """Start a runner in a session of its own, so that it outlives the caller."""
    _bury()
    log = str(run_dir / "runner.log")
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "providers.runner", str(run_dir)],
        _runner_environment(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, log_flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, log, log_flags, 0o600),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD],
    )
    _RUNNERS.add(pid)
    return pid


def build(settings: Mapping[str, Any], base_dir: Path) -> Local:
    """This machine; it has no settings."""
    if settings:
        raise SettingsError(f"executor local has no settings, found {json.dumps(dict(settings))}")
    return Local()

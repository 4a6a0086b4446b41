"""A command in the caller's own terminal, under a runner: no queue, and nothing is detached.

The caller stays the parent of the runner, the runner that of the command. What the terminal
sends (Ctrl-C, Ctrl-Z) is the command's; TERM and HUP to the caller end it as a job is ended. A
caller that is killed leaves runner and command alone; a runner that is killed leaves the
command to the caller, which then waits for it.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Receipt
from providers.errors import ExecutorError
from providers.executors.local import runner_argv, runner_environment
from providers.runner import foreground, journal
from providers.runner.tree import become_subreaper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.base import Launch

FORWARDED = frozenset({signal.SIGTERM, signal.SIGHUP})


def run(launch: Launch, *, quiet_stdout: bool = False) -> Receipt:
    """Run it to its end; the receipt is the runner's, or ours where the runner was killed.

    ``quiet_stdout``: what it writes to stdout goes to stderr. :class:`ExecutorError` where the
    runner cannot be started, or was lost so that nothing is known of the command.
    """
    run_dir = Path(launch.run_dir)
    become_subreaper()
    ignored = foreground.ignored()
    runner = [0]
    with _signals(ignored, runner):
        try:
            journal.write_json(run_dir / "launch.json", asdict(launch))
            runner[0] = _spawn_runner(run_dir, ignored, quiet_stdout=quiet_stdout)
        except OSError as e:
            raise ExecutorError(f"the runner in {run_dir} cannot be started: {e}") from e
        status = os.waitpid(runner[0], 0)[1]
        return journal.read_receipt(run_dir) or _adopted(launch, run_dir, status)


def exit_code(receipt: Receipt) -> int:
    """What a shell would tell of the command: 128 + n for signal n, 127 where it did not start."""
    if receipt.signal is not None:
        return 128 + receipt.signal
    return 127 if receipt.exit_code is None else receipt.exit_code


def _adopted(launch: Launch, run_dir: Path, status: int) -> Receipt:
    """The runner was killed: the command, if it was started, is our own child now."""
    begun = (journal.read_json(run_dir / "started") or {}).get("at")
    first = (journal.read_json(run_dir / "process.json") or {}).get("pid")
    if begun is None or first is None:
        raise ExecutorError(f"the runner was lost before the command began ({_ended(status)})")
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(int(first), 0)[1])
    except ChildProcessError as e:
        said = f"the runner was lost ({_ended(status)}): how the command ended is not known"
        raise ExecutorError(said) from e
    return Receipt(
        job_id=launch.job_id,
        attempt=launch.attempt,
        reason="exited",
        started_at=float(begun),
        ended_at=time.time(),
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_s=0.0,
    )


def _ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


@contextmanager
def _signals(ignored: frozenset[signal.Signals], runner: list[int]) -> Iterator[None]:
    """Leave to the command what is its own, and pass on what is to end it."""

    def forward(number: int, _: object) -> None:
        if runner[0]:
            with suppress(ProcessLookupError):
                os.kill(runner[0], number)

    before = {s: signal.getsignal(s) for s in foreground.INHERITED}
    foreground.leave_to_command()
    for number in FORWARDED - ignored:
        signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _spawn_runner(run_dir: Path, ignored: frozenset[signal.Signals], *, quiet_stdout: bool) -> int:
    """Its own streams are those of any runner; the command's wait beside them."""
    log = str(run_dir / "runner.log")
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    streams = zip((0, 2 if quiet_stdout else 1, 2), foreground.STREAMS, strict=True)
    return os.posix_spawn(
        runner_argv(run_dir)[0],
        runner_argv(run_dir),
        runner_environment(),
        file_actions=[
            *(_stream(source, kept) for source, kept in streams),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, log_flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, log, log_flags, 0o600),
        ],
        setsigmask=[],
        setsigdef=[*(foreground.INHERITED - ignored), signal.SIGCHLD],
    )


def _stream(source: int, kept: int) -> tuple[int, ...] | tuple[int, int, str, int, int]:
    """The caller's stream; one that is closed (``<&-``) becomes the null device."""
    try:
        os.fstat(source)
    except OSError:
        return (os.POSIX_SPAWN_OPEN, kept, os.devnull, os.O_RDWR, 0)
    return (os.POSIX_SPAWN_DUP2, source, kept)

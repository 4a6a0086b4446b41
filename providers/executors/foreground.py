"""A command in the caller's own terminal, under a runner: no queue, and nothing is detached.

The caller stays the parent of the runner, the runner that of the command. What the terminal
sends (Ctrl-C, Ctrl-Z) is the command's; TERM and HUP to the caller end it as a job is ended. A
caller that is killed leaves runner and command alone; a runner that is killed leaves the
command to the caller, which then waits for it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Receipt
from providers.errors import ExecutorError
from providers.runner import foreground, journal
from providers.runner.runner import run as run_attempt
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
    try:
        journal.write_json(run_dir / "launch.json", asdict(launch))
        with _held_back():
            runner = _fork_runner(run_dir, quiet_stdout=quiet_stdout)
            with _passed_on(runner):
                status = os.waitpid(runner, 0)[1]
    except OSError as e:
        raise ExecutorError(f"the runner in {run_dir} cannot be started: {e}") from e
    return journal.read_receipt(run_dir) or _adopted(launch, run_dir, status)


def exit_code(receipt: Receipt) -> int:
    """What a shell would tell of the command: 128 + n for signal n, 127 where it did not start."""
    if receipt.signal is not None:
        return 128 + receipt.signal
    return 127 if receipt.exit_code is None else receipt.exit_code


def _adopted(launch: Launch, run_dir: Path, status: int) -> Receipt:
    """The runner was killed: the command, if it was started, is our own child now."""
    begun = journal.moment_s(journal.read_json(run_dir / "started"))
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
        started_at=begun,
        ended_at=time.time(),
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_s=0.0,
    )


def _ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals wait until it is settled whose they are."""
    signal.pthread_sigmask(signal.SIG_BLOCK, foreground.INHERITED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, foreground.INHERITED)


@contextmanager
def _passed_on(runner: int) -> Iterator[None]:
    """Leave to the command what is its own; what is to end it goes to the runner."""

    def forward(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(runner, number)

    before = {number: signal.getsignal(number) for number in foreground.INHERITED}
    for number in FORWARDED - foreground.ignored():
        signal.signal(number, forward)
    foreground.leave_to_command()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, foreground.INHERITED)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fork_runner(run_dir: Path, *, quiet_stdout: bool) -> int:
    """A runner that shares the memory of its caller, which has loaded little more than it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    gc.freeze()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _take_streams(run_dir, quiet_stdout=quiet_stdout)
        run_attempt(run_dir)
        code = 0
    except BaseException:  # noqa: BLE001 -- the caller's frames above are not ours
        traceback.print_exc()
    finally:
        os._exit(code)


def _take_streams(run_dir: Path, *, quiet_stdout: bool) -> None:
    """The command's streams are kept beside the runner's own, which are those of any runner."""
    for source, kept in zip((0, 2 if quiet_stdout else 1, 2), foreground.STREAMS, strict=True):
        try:
            os.dup2(source, kept)
        except OSError:  # closed (`<&-`)
            os.dup2(os.open(os.devnull, os.O_RDWR), kept)
    log = os.open(run_dir / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(source, target)

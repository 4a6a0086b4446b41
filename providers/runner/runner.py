"""One attempt, from start marker to receipt.

Order matters: the marker (exclusive create, fsync) comes before the command is started, so an
attempt starts at most once; the receipt (atomic rename) comes last. Metering can fail in any
way without harming the job.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Launch, Receipt, Scope, Usage
from providers.runner import journal, proc
from providers.runner.metering import Metering
from providers.runner.tree import Tree, become_subreaper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import EndReason

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
WAITED = STOP_SIGNALS | {signal.SIGCHLD}
# While a tree is being killed, look again for processes that it has just made.
KILL_AGAIN_S = 0.2
# The journal grows with the logarithm of time: a crash loses at most this share of the run.
THINNING = 0.001
# A full disk may be emptied: try this long to leave the receipt.
RECEIPT_PATIENCE_S = 60.0


class Clock:
    """Wall time that no clock step and no suspend can bend: its start plus time since boot."""

    def __init__(self) -> None:
        self.wall = time.time()
        self._boot = time.clock_gettime(time.CLOCK_BOOTTIME)

    def elapsed(self) -> float:
        """Seconds since the start, suspended ones included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot

    def now(self) -> float:
        """Unix seconds."""
        return self.wall + self.elapsed()


def read_launch(run_dir: Path) -> Launch:
    """What the executor wrote."""
    content = json.loads((run_dir / "launch.json").read_text(encoding="utf-8"))
    for name in ("argv", "gpus", "meters"):
        content[name] = tuple(content[name])
    return Launch(**content)


def run(run_dir: Path) -> None:
    """Run the attempt in ``run_dir``; returns at once where it was started before."""
    launch = read_launch(run_dir)
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
    if not _mark_started(run_dir):
        print("this attempt was started before", file=sys.stderr)  # noqa: T201 -- runner.log
        return
    become_subreaper()
    clock = Clock()
    metering = Metering(launch.meters, Scope(launch.slots, launch.gpus))
    try:
        pid = _spawn(launch, run_dir)
    except OSError as e:
        error = f"{launch.argv[0]!r} in {launch.cwd}: {e.strerror or e}"
        receipt = _receipt(launch, clock, "not_started", None, 0.0, error)
        _leave(run_dir, receipt)
        return
    tree = Tree(pid)
    record = _Record(run_dir, launch, clock, metering, tree)
    reason = _follow(launch, clock, tree, record)
    record.close()
    metering.close()
    _leave(run_dir, _receipt(launch, clock, reason, tree.first_status, tree.final_cpu_s()))


def _mark_started(run_dir: Path) -> bool:
    """Claim the attempt, durably, before anything is started; False where it was claimed."""
    me = proc.identify(os.getpid())
    return journal.claim(run_dir / "started", {"at": time.time(), **(asdict(me) if me else {})})


def _spawn(launch: Launch, run_dir: Path) -> int:
    """Start the command in a session of its own; raises :class:`OSError`."""
    environment = _environment(launch)
    os.chdir(launch.cwd)
    try:
        path = shutil.which(launch.argv[0], path=environment.get("PATH", os.defpath))
        if path is None:
            raise FileNotFoundError(2, "no such executable on the job's PATH")
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            path,
            launch.argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(run_dir / "stdout.log"), log_flags, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, str(run_dir / "stderr.log"), log_flags, 0o600),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[s for s in signal.valid_signals() if s not in _UNCHANGEABLE],
        )
    finally:
        os.chdir(run_dir)


_UNCHANGEABLE = {signal.SIGKILL, signal.SIGSTOP}


def _environment(launch: Launch) -> Mapping[str, str]:
    variables: dict[str, str] = json.loads(Path(launch.env_file).read_text(encoding="utf-8"))
    variables |= {
        "LOWTIDE_JOB_ID": launch.job_id,
        "LOWTIDE_ATTEMPT": str(launch.attempt),
        "LOWTIDE_REGION": launch.region,
        "LOWTIDE_UNITS": launch.units_file,
        "LOWTIDE_RUN": launch.token,
    }
    if launch.gpus:
        variables |= {
            "CUDA_VISIBLE_DEVICES": ",".join(launch.gpus),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }
    return variables


class _Record:
    """Samples into the journal; a journal that cannot be written is given up, not the job."""

    def __init__(
        self, run_dir: Path, launch: Launch, clock: Clock, metering: Metering, tree: Tree
    ) -> None:
        self._clock, self._metering, self._tree = clock, metering, tree
        self._interval = launch.interval_s
        self._writer: journal.JournalWriter | None = None
        self._elapsed = self._written = 0.0
        self._rss_gb_s = 0.0
        self.next_at = launch.interval_s
        try:
            self._writer = journal.JournalWriter(
                run_dir, metering.components, {"interval_s": launch.interval_s}
            )
            first = journal.zero_readings(metering.components)
            self._writer.sample(clock.wall, 0.0, first)
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            self._give_up(e)

    def sample(self, *, last: bool = False) -> None:
        """Read the meters; write a line where one is due."""
        elapsed = self._clock.elapsed()
        cpu_s, rss = self._tree.usage()
        if last:
            cpu_s = self._tree.final_cpu_s()
        self._rss_gb_s += rss / 1e9 * (elapsed - self._elapsed)
        self._elapsed = elapsed
        self.next_at = elapsed + self._interval
        readings = self._metering.sample(Usage(elapsed, cpu_s, self._rss_gb_s))
        due = elapsed - self._written >= elapsed * THINNING
        if self._writer is None or not (due or last):
            return
        try:
            self._writer.sample(self._clock.wall + elapsed, cpu_s, readings)
            self._written = elapsed
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            self._give_up(e)

    def close(self) -> None:
        """The last sample, the notes, and all of it to disk."""
        self.sample(last=True)
        if self._writer is None:
            return
        try:
            for note in self._metering.notes:
                self._writer.note(note)
            self._writer.sync()
        except Exception as e:  # noqa: BLE001 -- metering may never harm the job
            self._give_up(e)

    def _give_up(self, error: Exception) -> None:
        self._writer = None
        print(f"the energy journal is given up: {error}", file=sys.stderr)  # noqa: T201


def _follow(launch: Launch, clock: Clock, tree: Tree, record: _Record) -> EndReason:
    """Wait for the whole tree to end; stop it where asked or at its time limit."""
    reason: EndReason = "exited"
    kill_at: float | None = None
    while not tree.reap():
        now = clock.elapsed()
        limit = launch.time_limit_s
        if reason == "exited" and limit is not None and now >= limit:
            reason, kill_at = "time_limit", now + launch.grace_s
            tree.send(signal.SIGTERM)
        if kill_at is not None and now >= kill_at:
            tree.send(signal.SIGKILL)
            kill_at = now + KILL_AGAIN_S
        if now >= record.next_at:
            record.sample()
        wake = [record.next_at, kill_at, limit if reason == "exited" else None]
        left = min(w for w in wake if w is not None) - clock.elapsed()
        woken = signal.sigtimedwait(WAITED, max(0.0, left))
        if woken is not None and woken.si_signo in STOP_SIGNALS and reason == "exited":
            reason, kill_at = "stopped", clock.elapsed() + launch.grace_s
            tree.send(signal.SIGTERM)
    return reason


def _receipt(
    launch: Launch,
    clock: Clock,
    reason: EndReason,
    status: int | None,
    cpu_s: float,
    error: str | None = None,
) -> Receipt:
    code = None if status is None else os.waitstatus_to_exitcode(status)
    return Receipt(
        job_id=launch.job_id,
        attempt=launch.attempt,
        reason=reason,
        started_at=clock.wall,
        ended_at=clock.now(),
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        cpu_s=cpu_s,
        error=error,
    )


def _leave(run_dir: Path, receipt: Receipt) -> None:
    """Write the receipt; a full disk is waited out for a while."""
    patience = time.monotonic() + RECEIPT_PATIENCE_S
    while True:
        try:
            journal.write_json(run_dir / "receipt.json", asdict(receipt))
            return
        except OSError as e:
            if time.monotonic() > patience:
                print(f"no receipt could be left: {e}", file=sys.stderr)  # noqa: T201
                return
            time.sleep(1.0)

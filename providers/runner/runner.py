"""One attempt, from start marker to receipt.

Order matters: the marker (exclusive create, fsync) comes before the command is started, so an
attempt starts at most once; the receipt (atomic rename) comes last. Metering can fail in any
way without harming the job.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Launch, Receipt, Scope
from providers.files import read_bounded
from providers.runner import claims, foreground, group, journal, proc
from providers.runner.asking import Asked
from providers.runner.containers import Containers
from providers.runner.holdings import Holdings
from providers.runner.log import say
from providers.runner.metering import Metering
from providers.runner.pausing import PAUSE, RESUME, Pausing
from providers.runner.record import Clock, Record
from providers.runner.slurm_steps import Steps
from providers.runner.tree import Tree, become_subreaper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import EndReason
    from providers.meters.nvml.assigned import Allocation

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
# While a tree is being killed, look again for processes that it has just made.
KILL_AGAIN_S = 0.2
# A full disk may be emptied: try this long to leave the receipt. Without it the job counts as lost,
# whatever it has done; a runner that waits holds some 20 MB of memory.
RECEIPT_PATIENCE_S = 3600.0
_WORDS = ("argv", "gpus", "meters", "inherit", "drop")
_TEXTS = ("job_id", "token", "cwd", "run_dir", "env_file", "units_file", "work_dir", "region")
LEFT_BEHIND = "{count} process(es) outlived the command: they count up to its end"


def read_launch(run_dir: Path) -> Launch:
    """What the executor wrote; :class:`OSError`, ValueError or TypeError where it is damaged."""
    content = journal.read_json(run_dir / "launch.json")
    if content is None:
        raise ValueError(f"{run_dir} holds no launch.json, or a damaged one")
    for name in _WORDS:
        content[name] = tuple(content.get(name, ()))
    launch = Launch(**content)
    words = [word for name in _WORDS for word in getattr(launch, name)]
    if not all(isinstance(word, str) for word in [*words, *(getattr(launch, n) for n in _TEXTS)]):
        raise TypeError(f"the launch.json in {run_dir} is damaged")
    return launch


def known_launch(run_dir: Path) -> Launch | None:
    """The same; None where it is not there yet, or damaged."""
    try:
        return read_launch(run_dir)
    except (OSError, ValueError, TypeError):
        return None


def run(run_dir: Path) -> None:
    """Run the attempt in ``run_dir`` (absolute); returns at once where it was started before."""
    os.chdir(run_dir)
    launch = read_launch(run_dir)
    ignored = foreground.ignored() if launch.foreground else frozenset()
    if launch.foreground:
        foreground.leave_to_command()
    waited = _waited(launch, ignored)
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    if not _mark_started(run_dir):
        say("this attempt was started before")
        return
    become_subreaper()
    clock, own = Clock(), None
    try:
        environment = _environment(launch)
        given = _allocated(launch, environment)
        me = proc.identify(os.getpid())
        if given.boards and me is not None:
            claims.take(given.boards, me, alone=False)
        metering = Metering(launch.meters, Scope(launch.slots, given.boards), given.notes)
        own = group.make(group.own_folder())
        start = partial(_spawn, launch, environment, run_dir, ignored)
        pid = own.spawn(start) if own else start()
    except (OSError, ValueError, TypeError) as e:
        if own:
            own.remove()
        error = f"cannot start {launch.argv[0]!r}: {_said(e)}"
        _leave(run_dir, _receipt(launch, clock, "not_started", None, 0.0, error))
        return
    _identify_first(run_dir, pid)
    tree = Tree(pid, own, Steps(), Containers(launch.argv))
    holdings = Holdings(launch.slots, launch.job_id)
    record = Record(run_dir, launch.interval_s, clock, metering, tree, holdings, launch.argv)
    record.begin()
    pausing = Pausing(run_dir, launch, clock, tree)
    asked = Asked(run_dir, clock)
    reason = _follow(launch, clock, tree, record, pausing, waited, asked)
    pausing.end()
    left = proc.below(os.getpid())
    if left:
        metering.notes.append(LEFT_BEHIND.format(count=len(left)))
    record.close(rested=bool(pausing.pauses()))
    receipt = _receipt(launch, clock, reason, tree.first_status, tree.final_cpu_s())
    # The receipt comes first: releasing a device may hang.
    _leave(run_dir, replace(receipt, pauses=pausing.pauses()))
    if own:
        own.remove()
    metering.close()


def _allocated(launch: Launch, environment: Mapping[str, str]) -> Allocation:
    """The job's boards by UUID: those of its launch, those that an engine gave by number, else
    those that its environment leaves to it.
    """
    from providers.meters.nvml.assigned import MASK, Allocation, allocation, masked

    if launch.gpus:
        return Allocation(launch.gpus)
    if not launch.gpu_count:
        return allocation(environment) or Allocation(())
    given = masked(os.environ.get(MASK) or os.environ.get("SLURM_JOB_GPUS") or "", by_bus=True)
    unnamed = (f"unnamed {n + 1}" for n in range(len(given.boards), launch.gpu_count))
    return replace(given, boards=(*given.boards, *unnamed))


def _waited(launch: Launch, ignored: frozenset[signal.Signals]) -> frozenset[signal.Signals]:
    """The signals that this runner obeys."""
    own = frozenset({signal.SIGCHLD, PAUSE, RESUME})
    if launch.foreground:
        return own | STOP_SIGNALS - foreground.FROM_TERMINAL - ignored
    return own | STOP_SIGNALS | {signal.SIGCONT}


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        about = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{about}"
    return str(error)


def _identify_first(run_dir: Path, pid: int) -> None:
    """Tell people and tools which process the job is; nothing of ours depends on it."""
    found = proc.identify(pid)
    try:
        journal.write_json(run_dir / "process.json", asdict(found) if found else {"pid": pid})
    except OSError as e:
        say(f"no process.json: {e}")


def _mark_started(run_dir: Path) -> bool:
    """Claim the attempt, durably, before anything is started; False where it was claimed."""
    me = proc.identify(os.getpid())
    return journal.claim(run_dir / "started", {"at": time.time(), **(asdict(me) if me else {})})


def _spawn(
    launch: Launch,
    environment: Mapping[str, str],
    run_dir: Path,
    ignored: frozenset[signal.Signals],
) -> int:
    """Start the command in a session of its own, or in the foreground of the caller.

    Raises :class:`OSError` where folder or executable cannot be used, and :class:`ValueError` or
    :class:`TypeError` where the environment is no environment.
    """
    standard_input: int | None = None
    os.chdir(launch.cwd)
    try:
        path = shutil.which(launch.argv[0], path=environment.get("PATH", os.defpath))
        if path is None:
            raise FileNotFoundError(errno.ENOENT, "no such executable on the job's PATH")
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        standard_input = _standard_input(launch)
        to_files = [
            (os.POSIX_SPAWN_DUP2, standard_input, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(run_dir / "stdout.log"), log_flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(run_dir / "stderr.log"), log_flags, 0o600),
        ]
        kept = _UNCHANGEABLE | ignored
        return os.posix_spawn(
            path,
            launch.argv,
            environment,
            file_actions=[*foreground.file_actions()] if launch.foreground else to_files,
            setsid=not launch.foreground,
            setsigmask=[],
            setsigdef=[s for s in signal.valid_signals() if s not in kept],
        )
    finally:
        os.chdir(run_dir)
        if standard_input is not None:
            os.close(standard_input)


def _standard_input(launch: Launch) -> int:
    """Opened here and without waiting: a pipe whose writer is gone would hold up the start."""
    named = launch.stdin_file
    found = os.open(named if named and Path(named).exists() else os.devnull, _AT_ONCE)
    os.set_blocking(found, True)
    return found


_AT_ONCE = os.O_RDONLY | os.O_NONBLOCK
_UNCHANGEABLE = {signal.SIGKILL, signal.SIGSTOP}


def _environment(launch: Launch) -> Mapping[str, str]:
    """The command's own; :class:`OSError` or :class:`ValueError` where its file cannot be used."""
    kept = json.loads(read_bounded(Path(launch.env_file), journal.JSON_LIMIT_BYTES))
    if not isinstance(kept, dict):
        raise ValueError(f"{launch.env_file} holds no JSON object of environment variables")
    if launch.foreground:
        foreground.forget(launch.env_file)
    # Families of names (SLURM_) are an engine's own: who submits from within one of its jobs has
    # them with what was meant for that one.
    families = tuple(prefix for prefix in launch.inherit if prefix.endswith("_"))
    kept = {
        name: value
        for name, value in kept.items()
        if not name.startswith(families) and name not in launch.drop
    }
    made = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(launch.inherit) and name not in launch.drop
    }
    variables: dict[str, str] = (
        kept
        | made
        | {
            "LOWTIDE_JOB_ID": launch.job_id,
            "LOWTIDE_ATTEMPT": str(launch.attempt),
            "LOWTIDE_REGION": launch.region,
            "LOWTIDE_UNITS": launch.units_file,
            "LOWTIDE_RUN": launch.token,
            "LOWTIDE_RUN_DIR": launch.work_dir,
        }
    )
    if launch.gpus:
        variables |= {
            "CUDA_VISIBLE_DEVICES": ",".join(launch.gpus),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }
    elif launch.gpu_count:
        # The engine's numbers mean the boards that are metered: NVML counts by the bus.
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return variables


def _follow(
    launch: Launch,
    clock: Clock,
    tree: Tree,
    record: Record,
    pausing: Pausing,
    waited: frozenset[signal.Signals],
    asked: Asked,
) -> EndReason:
    """Wait for the whole tree to end; pause it where asked, end it where asked or at its limit.

    A job that has checkpointed is over: what its first process has left behind is ended too. A
    command in the foreground is over with its first process: a shell would not wait longer. A job
    on this machine whose run folder was deleted computes on by itself, unless it has a time limit:
    there is nothing left to record it in.
    """
    reason: EndReason = "exited"
    kill_at: float | None = None
    asked_to_stop = False
    # Not below a terminal or an engine, which takes the end of its runner for that of the job.
    on_its_own = not launch.foreground and asked.look_at is None and launch.time_limit_s is None
    seen_at = clock.elapsed()
    while not tree.reap():
        if launch.foreground and reason == "exited" and tree.first_status is not None:
            break
        now, limit_at = clock.elapsed(), pausing.limit_at()
        if reason == "exited":
            if pausing.checkpointed():
                reason = "paused"
            elif asked_to_stop:
                reason = "stopped"
            elif limit_at is not None and now >= limit_at:
                reason = "time_limit"
            if reason != "exited":
                kill_at = now + launch.grace_s
                tree.send(signal.SIGTERM)
                pausing.end()
        if kill_at is not None and now >= kill_at:
            tree.kill()
            kill_at = now + KILL_AGAIN_S
        if now >= record.next_at:
            record.sample()
            pausing.save()
            if reason == "exited" and on_its_own and _is_deleted():
                pausing.obey(RESUME)
                return reason
        if pausing.look_at is not None and now >= pausing.look_at:
            pausing.look()
        limit = limit_at if reason == "exited" else None
        due = (record.next_at, kill_at, pausing.look_at, limit, asked.look_at)
        wake = [at for at in due if at is not None]
        woken = signal.sigtimedwait(waited, max(0.0, min(wake) - clock.elapsed()))
        if waited & {signal.SIGCONT} and _was_continued(woken):
            pausing.stood_still(seen_at, clock.elapsed())
        seen_at = clock.elapsed()
        for number in (*asked.look(), *(() if woken is None else (woken.si_signo,))):
            if number in STOP_SIGNALS:
                asked_to_stop = True
            elif reason == "exited":
                pausing.obey(number)
    if reason == "exited" and pausing.checkpointed():
        return "paused"
    # Who stops a whole group reaches the job as well, which may be gone before we heard of it.
    asked_to_stop = asked_to_stop or bool(signal.sigpending() & waited & STOP_SIGNALS)
    gone = reason == "exited" and asked_to_stop and _died_of_a_signal(tree.first_status)
    return "stopped" if gone else reason


def _died_of_a_signal(status: int | None) -> bool:
    """Or is a shell that says so of its last command: where TERM reached that one first, 143."""
    if status is None:
        return False
    return os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM


def _was_continued(woken: signal.struct_siginfo | None) -> bool:
    """Whether this process was stopped and goes on: it may hear of its children first."""
    if woken is not None and woken.si_signo == signal.SIGCONT:
        return True
    return signal.sigtimedwait({signal.SIGCONT}, 0.0) is not None


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
    """Write the receipt; a full disk is waited out for a while, a folder taken away is not.

    One that was moved is our current folder still: the receipt goes with it.
    """
    patience = time.monotonic() + RECEIPT_PATIENCE_S
    while True:
        place = run_dir if run_dir.exists() else Path()
        try:
            journal.write_json(place / "receipt.json", asdict(receipt))
            return
        except OSError as e:
            if isinstance(e, FileNotFoundError) or time.monotonic() > patience:
                say(f"no receipt could be left: {e}")
                return
            time.sleep(1.0)


def _is_deleted() -> bool:
    """Whether our run folder, the current one, was deleted: nothing reads what is written there."""
    try:
        return Path().stat().st_nlink == 0
    except OSError:
        return False

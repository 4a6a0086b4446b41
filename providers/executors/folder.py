"""Executors whose engine starts our runner somewhere and knows little else.

All that counts of an attempt stands in its run folder, which lies on a file system that both
sides share; the runner is asked there to stop and to pause (:mod:`providers.runner.asking`). An
engine of this kind adds four verbs: submit, look, cancel, and what there is to run on.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from providers.base import Capabilities, Launch, RunState
from providers.errors import ExecutorError
from providers.executors.immediate import Immediate
from providers.files import make_folder
from providers.runner import asking, journal, pausing, proc
from providers.runner.runner import known_launch

if TYPE_CHECKING:
    from collections.abc import Callable

# Beside lowtide's packages nothing of ours is imported where the runner runs.
PACKAGES = Path(__file__).parents[2]
# What was written elsewhere may reach us later than an engine's word that the job is over: NFS
# keeps attributes for up to a minute by default (nfs(5), acregmax=60).
LAG_S = 60.0
OVER = "over.json"


@dataclass(frozen=True, slots=True)
class Look:
    """What an engine says of an attempt.

    ``waiting``: it has it, and has not begun; ``ended``: it is done with it, well or not;
    ``refused``: it has given up before it began, and may be asked again.
    """

    stage: Literal["waiting", "running", "ended", "refused"]
    detail: str = ""


class FolderExecutor(Immediate, ABC):
    """An executor on a shared folder; a subclass is one engine."""

    capabilities = Capabilities(multi_region=True)
    # Prefixes of variables that the engine makes for the job, and names that it never gets.
    inherited: ClassVar[tuple[str, ...]] = ()
    never_inherited: ClassVar[tuple[str, ...]] = ()

    def __init__(self, clock: Callable[[], float] = time.time, lag_s: float = LAG_S) -> None:
        self._clock, self._lag_s = clock, lag_s

    @abstractmethod
    def slots(self) -> int:
        """Logical CPUs that jobs may hold here."""

    @abstractmethod
    def submit(self, launch: Launch) -> None:
        """Make the engine run :func:`command` for the attempt; :class:`ExecutorError` says no."""

    @abstractmethod
    def look(self, launch: Launch) -> Look | None:
        """What the engine says of the attempt; None where it knows nothing of it.

        :class:`ExecutorError` where it does not answer: then nothing is concluded.
        """

    @abstractmethod
    def cancel(self, launch: Launch) -> None:
        """Make the engine end or forget what it has of the attempt, by its own means."""

    def free_gpus(self, taken: frozenset[str]) -> tuple[str, ...]:
        """None by name."""
        return ()

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        """Submit, unless the engine has it; a runner that comes twice finds its attempt taken."""
        run_dir = Path(launch.run_dir)
        try:
            make_folder(run_dir)
            if (run_dir / "started").exists():
                return
            launch = replace(launch, inherit=self.inherited, drop=self.never_inherited)
            journal.write_json(run_dir / "launch.json", asdict(launch))
            asking.listen(run_dir)
            found = self.look(launch)
            if found is None or found.stage == "refused":
                self.submit(launch)
        except OSError as e:
            raise ExecutorError(f"the run folder {run_dir} cannot be used: {e}") from e

    def poll(self, run_dir: Path, token: str) -> RunState:
        """The folder's word first, then the engine's; a silent engine changes nothing."""
        state = self._state(run_dir, token)
        # A receipt that came while we asked wins.
        receipt = journal.read_receipt(run_dir)
        return state if receipt is None else RunState("ended", receipt.started_at, receipt)

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """Through the runner, by the engine's own means where that is in vain."""
        if journal.read_receipt(run_dir) is not None:
            return
        make_folder(run_dir)
        launch = known_launch(run_dir)
        # A runner that is still to come finds the attempt taken.
        if journal.claim(run_dir / "started", {"at": self._clock(), "begun": False}):
            if launch is not None:
                with suppress(ExecutorError):
                    self.cancel(launch)
            return
        if launch is None or not _begun(journal.read_json(run_dir / "started")):
            return
        waited_s = self._clock() - asking.stop(run_dir, self._clock())
        if _orphans(run_dir, token):
            _signal(token, signal.SIGKILL if waited_s >= grace_s else signal.SIGTERM)
        elif waited_s > 2 * grace_s + self._lag_s:
            self.cancel(launch)

    def pause(self, run_dir: Path, token: str) -> None:
        """Through the runner, as :meth:`providers.base.Executor.pause` says."""
        self._ask(run_dir, pause=True)

    def resume(self, run_dir: Path, token: str) -> None:
        """Through the runner; without one CONT to what is found, so that nothing stays stopped."""
        launch = known_launch(run_dir)
        if launch is None or launch.pause_signal != "stop":
            return
        self._ask(run_dir, pause=False)
        if _orphans(run_dir, token):
            _signal(token, signal.SIGCONT)

    def _ask(self, run_dir: Path, *, pause: bool) -> None:
        launch = known_launch(run_dir)
        if launch is None or launch.pause_signal is None or journal.read_receipt(run_dir):
            return
        if _begun(journal.read_json(run_dir / "started")):
            asking.pause(run_dir, pause)

    def _state(self, run_dir: Path, token: str) -> RunState:
        if journal.read_receipt(run_dir) is not None:
            return RunState("ended")  # told in full by who asks
        marker = journal.read_json(run_dir / "started")
        started = marker is not None or (run_dir / "started").exists()
        if started and not _begun(marker):
            return RunState("gone", detail="stopped before it began")
        launch = known_launch(run_dir)
        if launch is None:
            return RunState("gone" if started else "absent", detail="it has no launch.json")
        at = journal.moment_s(marker)
        alive = RunState("paused" if pausing.is_stopped(run_dir) else "running", at)
        if not started:
            alive = RunState("waiting")
        try:
            seen = self.look(launch)
        except ExecutorError as e:
            # Without an answer nothing may be started anew, or called dead.
            return replace(alive, detail=str(e))
        if seen is not None and seen.stage in {"waiting", "running"}:
            return replace(alive, detail=seen.detail)
        if not started and (seen is None or seen.stage == "refused"):
            return RunState("absent", detail="" if seen is None else seen.detail)
        if self._may_lag(run_dir):
            return alive
        said = "the engine does not know it any more" if seen is None else seen.detail
        left = proc.marked(token)
        if left:
            _mark_orphaned(run_dir)
            named = ", ".join(str(process.pid) for process in left[:5])
            return RunState("orphaned", at, detail=f"processes {named} live on ({said})")
        return RunState("gone", at, detail=said or "exit unknown")

    def _may_lag(self, run_dir: Path) -> bool:
        """Whether what the engine calls over may still tell of itself: first seen just now."""
        now_s = self._clock()
        try:
            return now_s - journal.noted_s(run_dir / OVER, now_s) < self._lag_s
        except OSError:
            return self._lag_s > 0


def command(launch: Launch, python: str, packages: str | None = None) -> list[str]:
    """The words that run an attempt, on any machine that has the folder.

    ``python`` is an interpreter there (3.11 or newer, nothing else needed), ``packages`` the
    folder there that holds lowtide's packages; None: the one here.
    """
    path = f"PYTHONPATH={packages or PACKAGES}"
    return ["env", path, python, "-P", "-m", "providers.runner", launch.run_dir]


def _begun(marker: dict[str, Any] | None) -> bool:
    """Whether a runner made the marker (a damaged one is its own), and not who stopped it."""
    return marker is None or marker.get("begun") is not False


def _mark_orphaned(run_dir: Path) -> None:
    with suppress(OSError):
        journal.claim(run_dir / "orphaned", {})


def _orphans(run_dir: Path, token: str) -> bool:
    return (run_dir / "orphaned").exists() and bool(proc.marked(token))


def _signal(token: str, number: int) -> None:
    """To what an attempt has left on this machine."""
    for left in proc.marked(token):
        left.send(number, signal.SIGCONT)

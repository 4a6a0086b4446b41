"""The vocabulary at the border: small Protocols and the frozen values they exchange.

The runner imports this file on the node where a job runs, so it needs the standard
library only; what a grid's carbon intensity looks like stands in :mod:`providers.series`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JOULES_PER_KWH = 3_600_000.0
# What part of the actuals a forecast's band is to hold, a tenth lying outside to either side.
BAND_PERCENT = 80.0

Method = Literal["measured", "integrated", "modelled", "declared", "missing"]


@dataclass(frozen=True, slots=True)
class Triple:
    """A figure with its bounds: ``low <= value <= high``; infinite where no upper bound is known.

    Arithmetic is interval arithmetic on non-negative figures (bounds move together, the
    cautious case): sums add ends, products multiply ends.
    """

    # For the store, which keeps a missing bound as one.
    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_inf_nan": "constants"}
    low: float
    value: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"bounds out of order: {self.low} <= {self.value} <= {self.high}")

    @classmethod
    def exact(cls, value: float) -> Triple:
        """A figure known without error (a declared constant)."""
        return cls(value, value, value)

    def __add__(self, other: Triple) -> Triple:
        return Triple(self.low + other.low, self.value + other.value, self.high + other.high)

    def __mul__(self, other: Triple) -> Triple:
        """Product of two non-negative figures; an unbounded one times exactly 0 is 0."""
        high = self.high * other.high if self.high and other.high else 0.0
        return Triple(self.low * other.low, self.value * other.value, high)

    def scaled(self, factor: float) -> Triple:
        """The figure in another unit; ``factor`` is non-negative and exact."""
        return Triple(self.low * factor, self.value * factor, self.high * factor)

    @property
    def bounded(self) -> bool:
        """Whether an upper bound is known."""
        return self.high < math.inf

    def as_dict(self) -> dict[str, float | None]:
        """``{low, value, high}``, the form used in JSON; ``high`` is null without a bound."""
        high = self.high if self.bounded else None
        return {"low": self.low, "value": self.value, "high": high}


ZERO = Triple(0.0, 0.0, 0.0)


# --- meters ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the machine whose energy is reported apart.

    ``name`` is ``cpu``, ``dram`` or ``gpu:<uuid>``; ``source`` names counter, model, data
    set and version; ``max_w`` is what the held part can draw at most, where known: it
    widens the upper bound over gaps. ``poll_s``: a counter that wraps must be read at least
    this often (seconds), or what it counted is lost; None: any interval will do.
    ``replayed``: its readings come from a record, whatever the method was there. ``share`` is the
    part of its board that a MIG slice is.
    """

    name: str
    method: Method
    source: str
    max_w: float | None = None
    poll_s: float | None = None
    replayed: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What the job holds: logical CPUs (each with its share of memory) and whole boards.

    ``read`` names the components that a meter of better choice reads already.
    """

    slots: int
    gpus: tuple[str, ...] = ()
    read: frozenset[str] = frozenset()


# How a tree's CPU seconds are counted: by its control group, by what was waited for, or, within
# the process that is metered, by the kernel's usage of itself and its children.
Counting = Literal["cgroup", "wait4", "rusage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the job's process tree has used so far (cumulative, never falling).

    ``pids`` are its living processes at this moment: whose work on a device is the job's.
    ``cpu_share_s`` and ``memory_share_s`` are its parts of the whole machine, times seconds: what
    it holds, and what it uses of what no run holds; over all runs at most the machine.
    ``unseen_cpu_s``: so many CPU seconds more it may have used at most, in processes that ended
    unseen.
    """

    elapsed_s: float
    cpu_s: float
    rss_gb_s: float
    pids: frozenset[int] = frozenset()
    cpu_share_s: float = 0.0
    memory_share_s: float = 0.0
    unseen_cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Energy of one component so far, in joules, cumulative since the meter was opened.

    ``active_j`` is what the job's work drew; ``energy_j`` adds the idle draw of what the
    job held: its slots, and of what nobody holds the CPUs that it used beyond them.
    ``covered_s`` is the time that was really observed; a failed read is time not covered,
    never a zero. ``facts`` is what else was seen so far, with its unit in the name:
    ``mean_utilisation_percent``.
    """

    component: str
    active_j: Triple
    energy_j: Triple
    covered_s: float
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a meter works here, and in one sentence why or why not.

    ``troubles`` are parts of the machine that it cannot read though it works.
    """

    available: bool
    detail: str
    troubles: tuple[str, ...] = ()


class Meter(Protocol):
    """One opened meter. It may fail; the runner then records a gap, and the job runs on."""

    def components(self) -> tuple[Component, ...]:
        """What it meters; what is found later joins at the end."""
        ...

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Cumulative readings; a component left out has no reading this time (a gap)."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know, found so far; it only grows at its end."""
        ...

    def close(self) -> None:
        """Release devices; may be called once."""
        ...


class MeterKind(Protocol):
    """A kind of meter, as found in the registry (``providers.meters.<name>.KIND``)."""

    def probe(self) -> Probe:
        """Look, without side effects, whether it works on this machine."""
        ...

    def open(self, scope: Scope) -> Meter:
        """Open it for one job; raises :class:`OSError` where it does not work."""
        ...


# --- executors and the runner -----------------------------------------------------------

# What a job that checkpointed exits with: "run me again" (EX_TEMPFAIL in sysexits.h).
CHECKPOINTED = 75

PauseSignal = Literal["checkpoint", "stop"]


@dataclass(frozen=True, slots=True)
class Launch:
    """One attempt at one job, as handed to an executor.

    ``run_dir`` belongs to this attempt alone; ``env_file`` is a JSON object (0600) that
    outlives the attempt only if it is run again. ``work_dir`` is the job's own, the same for
    all its attempts (``LOWTIDE_RUN_DIR``). ``gpus`` are boards by UUID; an engine that assigns
    boards itself gets their number alone, ``gpu_count``. ``inherit`` are prefixes of variables
    that an engine made for the job in the runner's environment, ``drop`` those it never gets.
    ``token`` marks every process of the attempt (``LOWTIDE_RUN`` in its environment).
    ``pause_signal`` says how it may be paused: see :meth:`Executor.pause`; None: it may not.
    ``foreground``: it keeps the caller's terminal, streams and process group, its record ends
    with its first process, and ``env_file`` is deleted once it is read.
    ``stdin_file`` is what it reads as its standard input, a named pipe for one; None: nothing.
    """

    job_id: str
    attempt: int
    token: str
    argv: tuple[str, ...]
    cwd: str
    run_dir: str
    env_file: str
    units_file: str
    work_dir: str
    region: str
    slots: int
    gpus: tuple[str, ...] = ()
    gpu_count: int = 0
    inherit: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    meters: tuple[str, ...] = ("nvml", "rapl", "model")
    time_limit_s: float | None = None
    grace_s: float = 10.0
    interval_s: float = 1.0
    pause_signal: PauseSignal | None = None
    foreground: bool = False
    stdin_file: str | None = None


Phase = Literal["absent", "waiting", "running", "paused", "orphaned", "ended", "gone"]
EndReason = Literal["exited", "stopped", "time_limit", "paused", "not_started"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The runner's last word on an attempt; times are Unix seconds.

    Exactly one of ``exit_code`` and ``signal`` is set, unless the command could not be
    started (``reason == "not_started"``, ``error`` says why). ``paused``: a job that may
    checkpoint exited with 75, or died of the TERM that asked it to. ``pauses`` are the times
    ``(from, to)`` for which its processes were stopped.
    """

    job_id: str
    attempt: int
    reason: EndReason
    started_at: float
    ended_at: float
    exit_code: int | None
    signal: int | None
    cpu_s: float
    error: str | None = None
    pauses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RunState:
    """What the run folder and the process table say of an attempt.

    ``absent``: never started (no start marker; a runner may be on its way);
    ``waiting``: an engine has it, and starts it when its hour and its resources are there;
    ``running``: its runner lives; ``paused``: the same, with the job's processes stopped;
    ``orphaned``: the runner died, the job's processes live;
    ``ended``: there is a receipt; ``gone``: started, but no runner, process or receipt.
    """

    phase: Phase
    started_at: float | None = None
    receipt: Receipt | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do natively (DESIGN section 7).

    ``begin_time``: it can be handed a job that is to begin later, and be told another time;
    ``assigns_gpus``: it picks the boards, by their number.
    """

    begin_time: bool = False
    hold: bool = False
    suspend: bool = False
    requeue: bool = False
    accounting: bool = False
    multi_region: bool = False
    assigns_gpus: bool = False


class Executor(Protocol):
    """An engine that takes jobs. Starting is idempotent: an attempt runs at most once."""

    capabilities: Capabilities

    def slots(self) -> int:
        """Logical CPUs that jobs may hold here."""
        ...

    def free_gpus(self, taken: frozenset[str]) -> tuple[str, ...]:
        """UUIDs of boards that no job of ours and no other process holds."""
        ...

    def assignable_gpus(self) -> tuple[int, int]:
        """Boards that one job may get at most, and all jobs at once, of what the engine assigns."""
        ...

    def start(self, launch: Launch, begin_s: float | None = None) -> None:
        """Start the runner, detached; raises :class:`providers.errors.ExecutorError`.

        With ``begin_s`` (Unix time; only where the engine has ``begin_time``) no earlier.
        """
        ...

    def move(self, launch: Launch, begin_s: float) -> bool:
        """Move what was handed over, and has not begun, to ``begin_s`` in this region.

        False where it cannot be moved; only asked of engines with ``begin_time``.
        """
        ...

    def take_back(self, run_dir: Path, token: str) -> bool:
        """Take back what was handed over and has not begun: it never will, once this is True.

        False where it has begun, and goes on; only asked of engines with ``begin_time``.
        """
        ...

    def poll(self, run_dir: Path, token: str) -> RunState:
        """Where an attempt stands; reads only, never raises for a missing folder."""
        ...

    def stop(self, run_dir: Path, token: str, grace_s: float) -> None:
        """Ask for TERM, grace, KILL on the whole tree; returns at once, may be repeated."""
        ...

    def pause(self, run_dir: Path, token: str) -> None:
        """Ask a running attempt to pause, as its launch says; returns at once, may be repeated.

        ``checkpoint``: TERM to its first process, which may take its time and exits with
        :data:`CHECKPOINTED`; it is never killed for being slow. ``stop``: SIGSTOP to the tree,
        until :meth:`resume`. Without effect where it does not run or may not be paused.
        """
        ...

    def resume(self, run_dir: Path, token: str) -> None:
        """Let a stopped attempt go on (SIGCONT); without effect on any other."""
        ...


# --- the journal --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the journal: Unix time and the cumulative readings at that moment.

    ``share_s`` is what fell to the run of its machine so far, in seconds of the whole of it; None
    where that was not recorded.
    """

    at: float
    cpu_s: float
    readings: tuple[Reading, ...]
    share_s: float | None = None


@dataclass(frozen=True, slots=True)
class JournalFile:
    """The bytes that a journal was read from: where they were, their SHA-256, how many."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Journal:
    """The energy record of one attempt, read back from its run folder.

    The first sample stands at the start with zero energy. ``notes`` are faults that the
    runner met (a meter that failed, a torn last line). ``file`` is None where there was none.
    """

    components: tuple[Component, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    file: JournalFile | None = None

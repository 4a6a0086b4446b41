"""Steps of a Slurm job (``srun``): processes of Slurm's own daemon, outside of the job's tree.

Where Slurm keeps a control group for the job, the kernel counts all of its steps: the job's group
less that of the step that the runner itself is in. Elsewhere each step is the tree below its
``slurmstepd``, which is read as the job's own tree is, and oftener: that daemon takes the sum of a
step with it when it ends. Only this node is looked at.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner import group, proc
from providers.runner.process_times import ProcessTimes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLIENT = "srun"
DAEMON = "slurmstepd"
CGROUP = group.CGROUP
OWN_GROUPS = Path("/proc/self/cgroup")
NOT_METERED = "steps not metered: {why}, so their energy is not known and there is no total"
# A step of the job (slurmstepd's own title), but for the batch script itself and for `extern`.
_TITLE = r"slurmstepd: \[{job}\.(\d+|interactive)\]"


class Steps:
    """The steps of the Slurm job that this process runs in, from now on."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._job = environ.get("SLURM_JOB_ID", "")
        nodes = environ.get("SLURM_JOB_NUM_NODES") or environ.get("SLURM_NNODES") or "1"
        self._nodes = int(nodes) if nodes.isdecimal() else 1
        self._times, self._living = ProcessTimes(0), dict[int, proc.Stat]()
        self._begun: set[tuple[int, int]] = set()
        self._clients: set[tuple[int, int]] = set()
        self._group = _Group.here(self._job) if self._job else None
        self.cpu_s = 0.0

    @property
    def living(self) -> Mapping[int, proc.Stat]:
        """Processes of steps at the last look."""
        return self._living

    @property
    def unseen_s(self) -> float:
        """By how much the CPU seconds of the last look may be too few."""
        return 0.0 if self._group else self._times.unseen_s

    @property
    def hurried(self) -> bool:
        """Whether a step lives whose sum goes with it."""
        return self._group is None and bool(self._living)

    def look(self, tree: Mapping[int, proc.Stat]) -> None:
        """Take in the steps that clients in the job's tree have asked for."""
        now = {(p, s.start_ticks) for p, s in tree.items() if _is_client(s, tree)}
        self._clients |= now
        if not self._clients or not self._job:
            return
        daemons = {p: s for p, s in self._living.items() if s.name == DAEMON and _same(p, s)}
        if len(daemons) < max(len(now), 1):
            daemons |= dict(self._daemons())
        self._begun |= {(pid, seen.start_ticks) for pid, seen in daemons.items()}
        self._living = {}
        for pid in daemons:
            found = proc.stat(pid)
            if found is not None:
                self._living |= {pid: found, **proc.below(pid)}
        self._times.look(self._living, {})
        if self._group is not None:
            self.cpu_s = max(self.cpu_s, self._group.cpu_s())
            return
        counted_s = self._times.kept_s + sum(seen.cpu_s for pid, seen in self._living.items())
        self.cpu_s = max(self.cpu_s, counted_s)
        self._times.bound(self.cpu_s)

    def unmetered(self, clients: Mapping[str, None]) -> str | None:
        """Why steps of the job are missing from what was counted; None where none is.

        ``clients`` are those that the tree had, or that its command names.
        """
        if CLIENT not in clients:
            return None
        if not self._job:
            return NOT_METERED.format(why="srun had Slurm start them outside of this job")
        if self._nodes > 1:
            where = f"Slurm job {self._job} has {self._nodes} nodes, and this is one of them"
            return NOT_METERED.format(why=where)
        if self._group is None and len(self._begun) < max(1, len(self._clients)):
            return NOT_METERED.format(why="no look met their processes on this node")
        return None

    def _daemons(self) -> Iterator[tuple[int, proc.Stat]]:
        title = re.compile(_TITLE.format(job=re.escape(self._job)))
        for entry in os.listdir(proc.PROC):  # noqa: PTH208
            if entry.isdigit():
                found = proc.stat(int(entry))
                if (
                    found is not None
                    and found.name == DAEMON
                    and title.match(" ".join(proc.argv(int(entry))))
                ):
                    yield int(entry), found


class _Group:
    """Slurm's control groups of a job and of the step that we are in."""

    def __init__(self, job: Path, own: Path) -> None:
        self._job, self._own = job, own
        self._before_s = self._counted_s()

    @classmethod
    def here(cls, job_id: str) -> _Group | None:
        """Those that this process is in; None where Slurm keeps none that can be read."""
        own = group.counted(OWN_GROUPS, CGROUP)
        chain = [] if own is None else [own, *own.parents]
        below = {folder.parent.name: folder for folder in chain}
        step = below.get(f"job_{job_id}")
        return None if step is None else cls(step.parent, step)

    def cpu_s(self) -> float:
        """CPU seconds of all other steps since the start."""
        return max(0.0, self._counted_s() - self._before_s)

    def _counted_s(self) -> float:
        return (group.used_s(self._job) or 0.0) - (group.used_s(self._own) or 0.0)


def _is_client(seen: proc.Stat, tree: Mapping[int, proc.Stat]) -> bool:
    """Of the two processes that each srun is, the one that was started."""
    parent = tree.get(seen.parent)
    return seen.name == CLIENT and (parent is None or parent.name != CLIENT)


def _same(pid: int, seen: proc.Stat) -> bool:
    now = proc.stat(pid)
    return now is not None and now.start_ticks == seen.start_ticks

"""Programs of a job that have others work for them, where the meters of the job do not reach."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from providers.runner import proc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CONTAINERS = "containers, which belong to a daemon"
_PODS = "pods, which run under a kubelet"
_HOSTS = "programs on other hosts"
_CLUSTER = "workers of a cluster"
_BATCH = "jobs of a queue"
# The usual names of each kind; `srun` is a case of its own (providers.runner.slurm_steps).
CLIENTS = {
    "docker": _CONTAINERS,
    "docker-compose": _CONTAINERS,
    "podman": _CONTAINERS,
    "nerdctl": _CONTAINERS,
    "ctr": _CONTAINERS,
    "crictl": _CONTAINERS,
    "kubectl": _PODS,
    "oc": _PODS,
    "ssh": _HOSTS,
    "rsh": _HOSTS,
    "pdsh": _HOSTS,
    "mpirun": _HOSTS,
    "mpiexec": _HOSTS,
    "orterun": _HOSTS,
    "prterun": _HOSTS,
    "ray": _CLUSTER,
    "dask": _CLUSTER,
    "sbatch": _BATCH,
    "qsub": _BATCH,
    "bsub": _BATCH,
    "systemd-run": "units of systemd",
    "srun": "steps, which belong to Slurm",
}
_MPI = {"mpirun", "mpiexec", "orterun", "prterun"}
# Options that name other hosts (mpirun(1) of Open MPI and of MPICH); without them all ranks are
# processes of the tree, or are started by a client that is seen itself (ssh, srun).
_NAMES_HOSTS = {
    "-H", "-host", "--host", "-hosts", "--hosts", "-f", "-hostfile", "--hostfile", "-machinefile",
    "--machinefile",
}  # fmt: skip
_INTERPRETERS = re.compile(r"python[0-9.]*", re.ASCII)
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh"}
# Where a word of a shell's command line is a command: at its start, and after what ends another.
_COMMANDS = re.compile(
    r"(?:^|[;&|({\n])\s*(?:(?:exec|sudo|do|then|else|time|nohup|env)\s+)*([\w./-]+)"
)


def client(argv: Sequence[str]) -> str | None:
    """The client that a command is, or that a shell's command line names; None where it is none."""
    if not argv:
        return None
    name, rest = PurePath(argv[0]).name, list(argv[1:])
    if _INTERPRETERS.fullmatch(name) and rest:
        script = rest[1] if rest[0] == "-m" and len(rest) > 1 else rest[0]
        return client([script, *rest[1:]]) if not script.startswith("-") else None
    if name in _SHELLS and "-c" in rest[:-1]:
        words = _COMMANDS.findall(rest[rest.index("-c") + 1])
        return next(filter(None, (client([word]) for word in words)), None)
    if name not in CLIENTS or (name in _MPI and not _NAMES_HOSTS.intersection(rest)):
        return None
    return name


def left_out(name: str) -> str:
    """What a client's work is, for a reader of the report."""
    return f"{CLIENTS[name]} ({name})"


class Clients:
    """The clients that were seen in a tree; each process is asked once, and again after an exec."""

    def __init__(self, argv: Sequence[str] = ()) -> None:
        first = client(argv)
        self.seen: dict[str, None] = {} if first is None else {first: None}
        self._said = 0
        self._asked: set[tuple[int, int, str]] = set()

    def look(self, living: Mapping[int, proc.Stat]) -> Iterable[str]:
        """Take in a look; the clients that are new since the last call."""
        asked = {(pid, stat.start_ticks, stat.name): pid for pid, stat in living.items()}
        for key in asked.keys() - self._asked:
            name = client(proc.argv(key[0])) or client([key[2]])
            if name is not None:
                self.seen[name] = None
        self._asked = set(asked)
        new, self._said = list(self.seen)[self._said :], len(self.seen)
        return new

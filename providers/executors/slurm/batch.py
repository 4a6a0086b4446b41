"""The batch script that starts a runner, and the words for sbatch. No word of a user is in either.

Each run of a Slurm job belongs to one attempt: the first to the one it was submitted for, each
that comes of a requeue to the one that ``slurm-run.<Slurm job>.<restart>`` in the job's own folder
names. A run that nobody has named (Slurm itself requeued it, after a node failed) ends at once.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import ExecutorError

if TYPE_CHECKING:
    from providers.base import Launch
    from providers.executors.slurm.settings import SlurmSettings

# Beside lowtide's packages nothing of ours is imported on the node.
PACKAGES = Path(__file__).parents[3]
POINTER = "slurm-run"
# What Slurm sets for a job and the job may want; SLURM_EXPORT_ENV would empty its own srun steps.
INHERITED = (
    "SLURM_", "SLURMD_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK", "TMPDIR",
)  # fmt: skip
NEVER_INHERITED = ("SLURM_EXPORT_ENV", "SLURM_GET_USER_ENV")


def comment(launch: Launch) -> str:
    """How the attempt is found again: any user can read comments, so only ids stand there."""
    return f"lowtide:{launch.job_id}:{launch.attempt}:{launch.token[:12]}"


def job_name(job_id: str) -> str:
    """How people see it at Slurm; the same for every attempt at a job of ours."""
    return f"lowtide-{job_id}"


def pointer(launch: Launch, job_id: str, restarts: int) -> Path:
    """The file that names the run folder for a requeued run of a Slurm job."""
    return Path(launch.run_dir).parent / f"{POINTER}.{job_id}.{restarts}"


def script(launch: Launch, settings: SlurmSettings) -> str:
    """A batch script whose process becomes the runner, so that signals reach it."""
    packages = settings.packages or str(PACKAGES)
    requeued = f"{shlex.quote(str(Path(launch.run_dir).parent / POINTER))}.$SLURM_JOB_ID.$restart"
    return "\n".join(
        (
            "#!/bin/bash",
            *settings.setup,
            f"export PYTHONPATH={shlex.quote(packages)}",
            f"run={shlex.quote(launch.run_dir)} restart=${{SLURM_RESTART_COUNT:-0}}",
            f'[ "$restart" = 0 ] || run=$(cat {requeued}) || exit 1',
            f'exec {shlex.quote(settings.python)} -P -m providers.runner "$run"',
            "",
        )
    )


def may_requeue(launch: Launch, settings: SlurmSettings) -> bool:
    """Whether what is left of the job, after a checkpoint, is to run in the same Slurm job."""
    return launch.pause_signal == "checkpoint" and settings.requeue


def options(launch: Launch, settings: SlurmSettings, begin_s: float | None) -> list[str]:
    """Words for ``sbatch``; the script comes on its standard input.

    The daemon's environment is never passed on (``--export`` with a list of names).
    """
    log = str(Path(launch.run_dir) / "slurm.log").replace("%", "%%")
    if "\\" in log:
        # Slurm takes it for its sign to replace nothing, and leaves it out (sbatch(1), filename
        # pattern): there is no such file, and the job would end before it began.
        log = "/dev/null"
    exported = ",".join(settings.export) or "NIL"
    found = [
        "--parsable",
        f"--job-name={job_name(launch.job_id)}",
        f"--comment={comment(launch)}",
        f"--output={log}",
        f"--export={exported}",
        "--chdir=/",
        "--ntasks=1",
        f"--cpus-per-task={launch.slots}",
        "--requeue" if may_requeue(launch, settings) else "--no-requeue",
        "--open-mode=append",
    ]
    if launch.gpu_count:
        found.append(f"--gres=gpu:{launch.gpu_count}")
    if launch.time_limit_s is not None and launch.pause_signal != "stop":
        # Ours is enforced by the runner; Slurm's, in whole minutes, only ends what outlives it.
        # Its clock does not rest while a job is stopped.
        found.append(f"--time={int(launch.time_limit_s + launch.grace_s) // 60 + 3}")
    if begin_s is not None:
        found.append(f"--begin={when(begin_s)}")
    for name in ("partition", "account", "qos"):
        value = getattr(settings, name)
        if value is not None:
            found.append(f"--{name}={value}")
    return [*found, *settings.options]


def when(moment_s: float) -> str:
    """A time as Slurm reads it: seconds from now, since without an offset it is taken as local."""
    left = moment_s - datetime.now(UTC).timestamp()
    return f"now+{max(0, round(left))}" if left > 0.5 else "now"


def parse_id(parsable: str) -> tuple[str, str | None]:
    """Job id and cluster of ``sbatch --parsable``: ``17`` or ``17;grid2``, on its last line."""
    last = parsable.strip().splitlines()[-1:] or [""]
    job_id, _, cluster = last[0].partition(";")
    if not re.fullmatch(r"\d{1,10}", job_id, re.ASCII):
        raise ExecutorError(f"sbatch told no job id: {last[0][:80]!r}")
    return job_id, cluster or None

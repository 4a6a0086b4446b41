"""What a site wants of every submission, and where jobs of a region go."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

Word = Annotated[str, Field(pattern=r"^[\w.@:+,-]+$")]
# What lowtide says itself: saying it twice would part what Slurm does from what we know of it.
OURS = {
    "--begin", "-b", "--comment", "--job-name", "-J", "--partition", "-p", "--clusters", "-M",
    "--output", "-o", "--error", "-e", "--export", "--requeue", "--no-requeue", "--hold", "-H",
    "--parsable", "--cpus-per-task", "-c", "--gres", "--chdir", "-D", "--wrap", "--array", "-a",
    "--wait", "-W", "--time", "-t", "--ntasks", "-n",
}  # fmt: skip


def _says_ours(name: str) -> bool:
    """Whether sbatch may read it as one of ours: getopt_long(3) takes any beginning of a name."""
    if name.startswith("--"):
        return any(ours.startswith(name) for ours in OURS)
    return name[:2] in OURS


class SlurmSettings(ProviderSettings):
    """``executors.slurm`` of the config, with ``engine`` of a region laid over it.

    ``options`` are further words for sbatch; ``setup`` are shell lines of the site (module
    loads) that come before the runner in the batch script; ``python`` is the interpreter on the
    nodes (3.11 or newer, nothing else needed), ``packages`` the folder there that holds
    lowtide's packages; both default to those here, on a shared file system. ``export`` names
    environment variables that the runner itself needs; the job's own come from its submitter.
    ``job_completions`` is the site's jobcomp file, asked where there is no accounting.
    ``suspend``: what is paused by a stop is suspended by Slurm, which this account must be let do.
    ``requeue``: after a checkpoint a job keeps its Slurm job; off where a site does not want that.
    """

    partition: Word | None = None
    cluster: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    python: Annotated[str, Field(min_length=1)] = sys.executable
    packages: str | None = None
    export: tuple[Word, ...] = ()
    job_completions: str | None = None
    suspend: bool = False
    requeue: bool = True

    def digest(self) -> str:
        """Differs where a job would be submitted otherwise, but for its cluster and partition."""
        told = self.model_dump_json(exclude={"cluster", "partition"})
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @field_validator("options")
    @classmethod
    def _not_ours(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            name = option.partition("=")[0]
            if not option.startswith("-"):
                raise ValueError(f"{option!r} is no option: write --name=value in one word")
            if _says_ours(name):
                raise ValueError(f"{name} is set by lowtide and cannot be given here")
            if "\n" in option or "\0" in option:
                raise ValueError(f"{option!r} has a line break in it")
        return options

    @field_validator("setup")
    @classmethod
    def _lines(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            if "\n" in line or "\0" in line:
                raise ValueError(f"{line!r}: give each line by itself")
        return lines


def parse(settings: Mapping[str, Any]) -> SlurmSettings:
    """Checked settings; :class:`providers.errors.SettingsError` names the first fault."""
    return checked(SlurmSettings, settings, "slurm")

"""Run folders, ``<root>/<job id>``: environment, units of work, one folder a start."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunFolders:
    """Where jobs keep what never goes into the database."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, job_id: str) -> Path:
        """The job's folder (0700)."""
        folder = self._root / job_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def attempt(self, job_id: str, number: int) -> Path:
        """The folder of one start."""
        folder = self.of(job_id) / str(number)
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def units(self, job_id: str) -> Path:
        """Where the job appends ``name=value`` lines, over all its attempts."""
        return self._root / job_id / "units"

    def work(self, job_id: str) -> Path:
        """The job's own folder, for checkpoints, over all its attempts (0700)."""
        folder = self.of(job_id) / "work"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def environment(self, job_id: str) -> Path:
        """The submitter's environment (0600), deleted when the job has ended."""
        return self._root / job_id / "env.json"

    def keep_environment(self, job_id: str, variables: Mapping[str, str]) -> None:
        """Write the environment so that nobody else can ever read it.

        :class:`StoreError` where it cannot be written; then nothing is left of it.
        """
        path = self.environment(job_id)
        try:
            self.of(job_id)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                json.dump(dict(variables), f)
                f.flush()
                os.fsync(f.fileno())
        except OSError as e:
            self.discard(job_id)
            raise StoreError(
                f"the run folder {path.parent} cannot be written ({e.strerror}): see that its "
                "disk has room and is well"
            ) from e

    def copy_environment(self, source_id: str, job_id: str) -> None:
        """Give a job the environment that was kept for another."""
        kept = self.environment(source_id).read_text(encoding="utf-8")
        self.keep_environment(job_id, json.loads(kept))

    def forget_environment(self, job_id: str) -> None:
        """Delete the environment; harmless where it is gone."""
        self.environment(job_id).unlink(missing_ok=True)

    def discard(self, job_id: str) -> None:
        """Remove what there is of a job that was never in the queue."""
        with suppress(OSError):
            self.forget_environment(job_id)
            (self._root / job_id).rmdir()

    def log(self, run_dir: str, stream: str) -> Path:
        """The captured ``stdout`` or ``stderr`` of one start."""
        return Path(run_dir) / f"{stream}.log"

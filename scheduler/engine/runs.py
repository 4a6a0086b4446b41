"""Run folders, ``<root>/<job id>``: environment, units of work, one folder a start."""

from __future__ import annotations

import json
import os
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from providers.files import make_folder
from providers.runner import proc
from providers.runner.journal import read_json
from scheduler.errors import ConfigError, StoreError
from scheduler.locks import held, holder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Marks of submissions that are under way, one file each, held by who submits.
SUBMITTING = ".submitting"
# What only following an attempt needs (runner, local and folder executors). What stays of one that
# is settled finally is how it ended, its energy, logs with something in them, engines' own notes.
FOLLOWED = frozenset(
    {"launch.json", "started", "launched.json", "process.json", "asked.json", "stop.json"}
    | {"over.json", "orphaned", "stdin"}
)


class RunFolders:
    """Where jobs keep what never goes into the database."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, job_id: str) -> Path:
        """The job's folder (0700)."""
        _guard(self._root.parent)
        return _own(_own(self._root) / job_id)

    def attempt(self, job_id: str, number: int) -> Path:
        """The folder of one start (0700)."""
        return _own(self.of(job_id) / str(number))

    def newest(self, job_id: str) -> Path | None:
        """The folder of the last start of a job, whatever its row says; None where none is ours."""
        folder = self._root / job_id
        if folder.parent != self._root or job_id in {"", ".."} or not folder.is_dir():
            return None
        starts = [each for each in folder.iterdir() if each.name.isdecimal()]
        mine = [each for each in starts if each.is_dir() and each.lstat().st_uid == os.geteuid()]
        return max(mine, key=lambda each: int(each.name), default=None)

    def units(self, job_id: str) -> Path:
        """Where the job appends ``name=value`` lines, over all its attempts."""
        return self._root / job_id / "units"

    def work(self, job_id: str) -> Path:
        """The job's own folder, for checkpoints, over all its attempts (0700)."""
        return _own(self.of(job_id) / "work")

    def standard_input(self, job_id: str) -> Path:
        """The named pipe of a job whose submitter stays to write into it."""
        return self._root / job_id / "stdin"

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
            raise _unwritable(path.parent, e) from e

    def copy_environment(self, source_id: str, job_id: str) -> None:
        """Give a job the environment that was kept for another."""
        path = self.environment(source_id)
        kept = read_json(path)
        if kept is None:
            raise OSError(f"{path} is absent or damaged")
        self.keep_environment(job_id, kept)

    def forget_environment(self, job_id: str) -> None:
        """Delete the environment; harmless where it is gone."""
        self.environment(job_id).unlink(missing_ok=True)

    def discard(self, job_id: str) -> None:
        """Remove what there is of a job that was never in the queue."""
        with suppress(OSError):
            self.forget_environment(job_id)
            (self._root / job_id).rmdir()

    @contextmanager
    def submitting(self, ids: Sequence[str]) -> Iterator[None]:
        """Mark folders as those of jobs that are to be in the queue at the end, or are discarded
        by the caller. Of who is killed within, the mark tells: :meth:`abandoned`.
        """
        with ExitStack() as stack:
            for each in ids:
                stack.enter_context(self._marked(each))
            yield

    @contextmanager
    def _marked(self, job_id: str) -> Iterator[None]:
        mark = self._root / SUBMITTING / job_id
        with ExitStack() as stack:
            while True:
                _guard(self._root.parent)
                _own(_own(self._root) / SUBMITTING)
                try:
                    stack.enter_context(held(mark))
                    break
                except FileNotFoundError:
                    continue  # whoever is done has taken the folder away
                except OSError as e:
                    raise _unwritable(mark.parent, e) from e
            try:
                yield
            finally:
                self._unmark(mark)

    def _unmark(self, mark: Path) -> None:
        mark.unlink(missing_ok=True)
        with suppress(OSError):  # others are under way
            mark.parent.rmdir()

    def abandoned(self) -> Iterator[str]:
        """Ids whose submitter was killed before it was done; a mark goes once it was dealt with."""
        for name in self.under_way():
            mark = self._root / SUBMITTING / name
            submitter = holder(mark)
            if submitter is not None and proc.identify(submitter.pid) is not None:
                continue  # a file system may know no locks
            with suppress(FileNotFoundError), held(mark) as dead:
                if dead:
                    yield name
                    self._unmark(mark)

    def under_way(self) -> list[str]:
        """Ids of submissions that are not done, whether or not their submitters live."""
        return _names(self._root / SUBMITTING)

    def named(self) -> list[str]:
        """The ids of all run folders."""
        return [name for name in _names(self._root) if name != SUBMITTING]

    def size_bytes(self, job_id: str) -> int:
        """What the files of a run folder take; one that goes meanwhile takes nothing."""
        walk, total = os.walk(self._root / job_id), 0
        for path in (os.path.join(top, name) for top, _, names in walk for name in names):  # noqa: PTH118
            with suppress(FileNotFoundError):
                total += os.lstat(path).st_size
        return total

    def tidy(self, job_id: str) -> None:
        """Take away what was needed only to follow a job that has ended, and what is empty.

        Two passes of one home may be at it at once: what the other one took is no fault.
        """
        self.forget_environment(job_id)
        folder = self._root / job_id
        if folder.is_symlink() or not folder.is_dir():
            return
        starts = [folder / name for name in _names(folder) if name.isdigit()]
        attempts = [p for p in starts if not p.is_symlink()]
        for each in (*attempts, folder):
            for name in _names(each) if each.is_dir() else []:
                with suppress(FileNotFoundError):
                    if _is_spent(each / name):
                        (each / name).unlink()
        for each in (folder / "work", *attempts, folder):
            with suppress(OSError):
                each.rmdir()

    def remove(self, job_id: str) -> None:
        """Delete a run folder with all that is in it; harmless where it is gone."""
        folder = self._root / job_id
        if folder.is_symlink():
            folder.unlink()
        elif folder.is_dir():
            shutil.rmtree(folder)

    def log(self, run_dir: str, stream: str) -> Path:
        """The captured ``stdout`` or ``stderr`` of one start."""
        return Path(run_dir) / f"{stream}.log"


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the run folder {folder} cannot be written ({error.strerror}): see that its disk has room "
        "and is well"
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _is_spent(path: Path) -> bool:
    found, name = path.lstat(), path.name
    if stat.S_ISDIR(found.st_mode):
        return False
    if name.endswith(".log"):
        return found.st_size == 0
    # What begins with a dot was to be put in place of a file when its writer was killed.
    return name in FOLLOWED or name.startswith(".")


def _guard(parent: Path) -> None:
    """Where others may write, only the sticky bit keeps them from putting a folder in another's
    place while it is in use.
    """
    try:
        make_folder(parent, 0o755)
        mode = parent.stat().st_mode
    except OSError as e:
        raise ConfigError(f"the folder {parent} cannot be made: {e.strerror}") from e
    if mode & 0o002 and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"everybody may replace what is in {parent}: set its sticky bit (chmod +t {parent})"
        )


def _own(folder: Path) -> Path:
    """The folder, made where it is not there; :class:`ConfigError` where it is not ours alone.

    Below ``shared_runs`` others may have made one of that name, or a link: what they could put
    into it would run as us.
    """
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        found = folder.lstat()
    except OSError as e:
        raise ConfigError(f"the run folder {folder} cannot be made: {e.strerror}") from e
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(
            f"the run folder {folder} is {_what(found)}: take it away, or set another place "
            "(LOWTIDE_HOME, shared_runs)"
        )
    if found.st_mode & 0o022:
        raise ConfigError(
            f"others may write to the run folder {folder} (mode {found.st_mode & 0o777:o}): look "
            f"what is in it, then chmod 700 {folder}"
        )
    return folder


def _what(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "no folder"
    return f"the user {found.st_uid}'s, not ours (user {os.geteuid()})"

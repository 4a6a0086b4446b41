"""Which file the configuration comes from. Imports neither pydantic nor YAML: `lowtide meter`
looks here before a command starts.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from scheduler.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# lowtide's own name for its file, here or in a folder above.
NAME = "lowtide.yaml"
# A name that many projects use for files of their own: lowtide's only where its keys say so.
PLAIN = "config.yaml"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is there; ``plain``: it may be another program's. ``why`` says how it was found.

    ``refused`` is why it is not to be read, empty where it may be.
    """

    path: Path
    why: str
    plain: bool = False
    refused: str = ""


def candidates(named: str | None, environ: Mapping[str, str], cwd: Path) -> Iterator[Candidate]:
    """Files that are there, the first choice first; the packaged one is the last.

    ``named`` is ``--config``; then ``LOWTIDE_CONFIG``, ``lowtide.yaml`` in ``cwd`` or the nearest
    folder above it, ``config.yaml`` in ``cwd``, the user's. :class:`ConfigError` where a file
    that is named is not there.
    """
    if given := named or environ.get("LOWTIDE_CONFIG"):
        path = cwd / Path(given).expanduser()
        why = "LOWTIDE_CONFIG" if given == environ.get("LOWTIDE_CONFIG") else "--config"
        if not path.is_file():
            raise ConfigError(f"config {path} is not a file: check --config or LOWTIDE_CONFIG")
        yield Candidate(path, why)
        return
    folder = cwd.absolute()
    above = (each / NAME for each in (folder, *folder.parents))
    own = next(filter(_is_there, above), None)
    if own is not None:
        yield Candidate(own, f"{NAME} here or above", refused=_planted(own))
    if _is_there(cwd / PLAIN):
        yield Candidate(cwd / PLAIN, f"{PLAIN} here", plain=True, refused=_planted(cwd / PLAIN))
    try:
        mine = users()
    except ConfigError:
        mine = None
    if mine is not None and _is_there(mine):
        yield Candidate(mine, "the user's")
    yield Candidate(packaged(), "packaged: no file of your own was found")


def users() -> Path:
    """The user's own file, in the platform's folder for configurations (``XDG_CONFIG_HOME``).

    :class:`ConfigError` where neither ``HOME`` nor the account says which folder that is.
    """
    return Path(_of_user(platformdirs.user_config_dir)) / PLAIN


def packaged() -> Path:
    """The file of defaults: it works offline, and names no place."""
    return Path(str(files("scheduler") / "data" / PLAIN))


def home(environ: Mapping[str, str], cwd: Path) -> Path:
    """The folder of database and runs: ``LOWTIDE_HOME``, else the platform's folder for data.

    :class:`ConfigError` as for :func:`users`.
    """
    named = environ.get("LOWTIDE_HOME") or _of_user(platformdirs.user_data_dir)
    return cwd / Path(named).expanduser()


def _of_user(folder: Callable[..., str]) -> str:
    try:
        return folder("lowtide", appauthor=False)
    except RuntimeError as e:  # no HOME, and no entry in passwd: `docker run --user 1234`
        raise ConfigError(
            f"user id {os.geteuid()} has no home folder: set HOME, or LOWTIDE_HOME and "
            "LOWTIDE_CONFIG"
        ) from e


def _is_there(path: Path) -> bool:
    """Whether it is a file; one in a folder that is closed to us is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _planted(path: Path) -> str:
    """Why a file that was found, not named, is not trusted: a config names programs to run.

    In a folder where anyone may put files, such as /tmp, only one's own counts.
    """
    try:
        anyones = path.parent.stat().st_mode & stat.S_IWOTH
        owner = path.stat().st_uid
    except OSError as e:
        return f"it cannot be looked at ({e.strerror})"
    if anyones and owner not in {0, os.geteuid()}:
        return "it belongs to another user, in a folder that anyone may write"
    return ""

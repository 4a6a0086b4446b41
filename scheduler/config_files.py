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
    from collections.abc import Iterator, Mapping

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
    own = next((each / NAME for each in (folder, *folder.parents) if (each / NAME).is_file()), None)
    if own is not None:
        yield Candidate(own, f"{NAME} here or above", refused=_planted(own))
    if (cwd / PLAIN).is_file():
        yield Candidate(cwd / PLAIN, f"{PLAIN} here", plain=True, refused=_planted(cwd / PLAIN))
    if users().is_file():
        yield Candidate(users(), "the user's")
    yield Candidate(packaged(), "packaged: no file of your own was found")


def users() -> Path:
    """The user's own file, in the platform's folder for configurations (``XDG_CONFIG_HOME``)."""
    return platformdirs.user_config_path("lowtide", appauthor=False) / PLAIN


def packaged() -> Path:
    """The file of defaults: it works offline, and names no place."""
    return Path(str(files("scheduler") / "data" / PLAIN))


def home(environ: Mapping[str, str], cwd: Path) -> Path:
    """The folder of database and runs: ``LOWTIDE_HOME``, else the platform's folder for data."""
    named = environ.get("LOWTIDE_HOME") or platformdirs.user_data_dir("lowtide", appauthor=False)
    return cwd / Path(named).expanduser()


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

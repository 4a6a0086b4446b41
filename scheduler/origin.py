"""Where a job comes from: the account, the host, and the folder that holds its run folders."""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from scheduler import texts
from scheduler.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Origin(BaseModel):
    """Where a job was submitted, and by which account of the operating system.

    ``runs`` is the folder of run folders that it was given there; ``shared``: every host sees it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    account: str
    host: str
    runs: str
    shared: bool = False

    def place_of(self, region_host: str | None) -> str:
        """The host on which a job from here runs in a region with, or without, its own host."""
        return region_host or self.host

    def sees(self, host: str) -> bool:
        """Whether ``host`` sees the run folders of a job from here."""
        return self.shared or host == self.host


@dataclass(frozen=True, slots=True)
class Here:
    """This lowtide: what it marks jobs with, and what it knows itself by.

    ``home`` tells apart those of one account and host.
    """

    origin: Origin
    home: Path

    @property
    def owner(self) -> str:
        """Its name beside all others on the same database."""
        return f"{self.origin.account}@{self.origin.host}:{self.home}"

    def has_folders(self, origin: Origin | None) -> bool:
        """Whether the job's run folders are among ours."""
        if origin is None:
            return True
        mine = (self.origin.account, self.origin.runs)
        return (origin.account, origin.runs) == mine and origin.sees(self.origin.host)


def account() -> str:
    """The account that this process runs as, whatever the environment says."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def here(home: Path, shared_runs: Path | None, environ: Mapping[str, str]) -> Here:
    """This process; ``LOWTIDE_HOST`` names its host where the machine's own name changes."""
    name = account()
    runs = home / "runs" if shared_runs is None else shared_runs / name
    host = environ.get("LOWTIDE_HOST") or socket.gethostname()
    try:
        texts.storable("LOWTIDE_HOST", host)
        texts.storable("the path of the run folders (LOWTIDE_HOME, shared_runs)", str(runs))
    except ValueError as e:
        raise ConfigError(str(e)) from e
    origin = Origin(
        account=name, host=host, runs=str(runs.absolute()), shared=shared_runs is not None
    )
    return Here(origin, home.absolute())

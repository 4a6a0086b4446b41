"""Several lowtides in processes of their own, each with a home, on one database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOWTIDE = (sys.executable, "-P", "-m", "scheduler")
PATIENCE_S = 90.0


class Fleet:
    """Homes ``h0``, ``h1``, ... in one folder with one config."""

    def __init__(
        self,
        folder: Path,
        config: str,
        environ: Mapping[str, str],
        command: tuple[str, ...] = LOWTIDE,
    ) -> None:
        self.folder = folder
        self._command = command
        (folder / "config.yaml").write_text(config)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE", "PG"))}
        self._env = kept | dict(environ)
        self.daemons: list[subprocess.Popen[str]] = []

    def env(self, home: int) -> dict[str, str]:
        """The environment of one of them."""
        return self._env | {"LOWTIDE_HOME": str(self.folder / f"h{home}")}

    def run(self, *argv: str, home: int = 0, code: int = 0) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        done = subprocess.run(
            [*self._command, *argv],
            cwd=self.folder,
            env=self.env(home),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *argv: str, home: int = 0) -> Any:
        """What a reader prints."""
        return json.loads(self.run(*argv, "--json", home=home).stdout)

    def submit(self, *argv: str, home: int = 0, options: tuple[str, ...] = ()) -> str:
        """A job that is due at once."""
        given = ("--duration", "5s", "--start-by", "6s", *options)
        said = self.run("submit", "--json", *given, "--", *argv, home=home).stdout
        job_id: str = json.loads(said)["job_id"]
        return job_id

    def state(self, job_id: str, home: int = 0) -> str:
        """Where a job stands."""
        found: str = json.loads(self.run("show", "--json", job_id, home=home).stdout)["job"][
            "state"
        ]
        return found

    def up(self, home: int) -> subprocess.Popen[str]:
        """A daemon; what it says goes into ``h<n>.log``."""
        with (self.folder / f"h{home}.log").open("a") as log:
            process = subprocess.Popen(
                [*self._command, "up"],
                cwd=self.folder,
                env=self.env(home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        self.daemons.append(process)
        return process

    def log(self, home: int) -> str:
        """What a daemon has said."""
        return (self.folder / f"h{home}.log").read_text()

    def close(self) -> None:
        """End every daemon; a job of it that still runs is left to its runner."""
        for process in self.daemons:
            process.terminate()
        for process in self.daemons:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until it comes about."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come about")

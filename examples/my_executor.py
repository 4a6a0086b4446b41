"""An executor of your own: here, another machine that is reached by ssh and shares your home.

It becomes an executor by an entry point in the pyproject.toml of your package,

    [project.entry-points."lowtide.executors"]
    my_machine = "my_executor:build"

and is used like the others, once it is installed beside lowtide:

    executors:
      my_machine: {reach: [ssh, -oBatchMode=yes, node7], cpus: 16, python: /usr/bin/python3}
    regions:
      node7: {zone: SE-SE3, executor: my_machine}

Four verbs are an engine's own: what it has, submit, look, cancel. All else (one start of each
attempt, its state, stop, pause, its energy) is read from and written to its run folder, which has
to be on a file system that both machines share.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.base import Launch
from providers.errors import ExecutorError
from providers.executors.folder import FolderExecutor, Look, command
from providers.settings import ProviderSettings, checked

PATIENCE_S = 30


class Settings(ProviderSettings):
    """What may stand under ``executors`` in the config; anything else there is refused."""

    reach: tuple[str, ...] = ("sh", "-c")
    cpus: int = 1
    python: str = sys.executable


class MyMachine(FolderExecutor):
    """Runs what it is given at once: queueing is lowtide's."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def slots(self) -> int:
        """As many as the config says."""
        return self._settings.cpus

    def submit(self, launch: Launch) -> None:
        """Start the runner, away from the connection, with the environment of a fresh login."""
        words = shlex.join(command(launch, self._settings.python))
        log = shlex.quote(str(Path(launch.run_dir) / "runner.log"))
        self._on_it(f"nohup {words} </dev/null >>{log} 2>&1 &")

    def look(self, launch: Launch) -> Look | None:
        """Whether a runner of this very attempt lives there."""
        said = self._on_it("ps -eo args=")
        wanted = f"-m providers.runner {launch.run_dir}"
        if any(line.endswith(wanted) for line in said.splitlines()):
            return Look("running")
        # None is right before it began: submitting twice does no harm.
        return Look("ended") if (Path(launch.run_dir) / "started").exists() else None

    def cancel(self, launch: Launch) -> None:
        """What stop does when the runner has not listened for long."""
        self._on_it(f"pkill -f -- {shlex.quote(f'-m providers.runner {launch.run_dir}$')} || true")

    def _on_it(self, line: str) -> str:
        """What a line of shell prints there; nothing of our environment is passed on."""
        try:
            done = subprocess.run(
                [*self._settings.reach, line], capture_output=True, text=True, check=False,
                timeout=PATIENCE_S, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as e:
            raise ExecutorError(f"my machine cannot be reached: {e}") from e
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
            raise ExecutorError(f"my machine: {said[0]}")
        return done.stdout


def build(settings: Mapping[str, Any], base_dir: Path) -> MyMachine:
    """What the entry point names: settings from the config, with a region's ``engine`` over it."""
    return MyMachine(checked(Settings, settings, "my_machine"))

"""Real attempts under real runners, in folders of one test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.base import Launch, Receipt
from providers.executors.local import build
from providers.runner import journal

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 180.0
PACKAGES = Path(__file__).parents[2]
HEAD = "import sys\nfrom pathlib import Path"
PYTHON = [sys.executable, "-I", "-S", "-c"]
BURN = "import os,time\nwhile time.process_time() < {s}: pass\nos._exit(0)"


@dataclass
class Bench:
    """Starts attempts in folders of one test."""

    root: Path
    runners: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def launch(self, *argv: str, env: str | None = None, **fields: Any) -> Launch:
        """An attempt in a folder of its own, not started."""
        number = len(list(self.root.glob("env-*.json")))
        environment = self.root / f"env-{number}.json"
        environment.write_text(env or json.dumps({"PATH": os.environ["PATH"], "KEPT": "yes"}))
        return Launch(
            **{
                "job_id": "j1",
                "attempt": 2,
                "token": f"token-of-{self.root}-{number}",
                "argv": argv,
                "cwd": str(self.root),
                "run_dir": str(self.root / f"run-{number}"),
                "env_file": str(environment),
                "units_file": str(self.root / "units"),
                "work_dir": str(self.root),
                "region": "local",
                "slots": 1,
                "meters": ("model",),
                "interval_s": 0.2,
                **fields,
            }
        )

    def start(self, *argv: str, env: str | None = None, **fields: Any) -> Launch:
        """Start one as the engine does."""
        launch = self.launch(*argv, env=env, **fields)
        build({}, self.root).start(launch)
        return launch

    def start_patched(self, patch: str, launch: Launch) -> None:
        """The same with a runner in which some lines of Python ran first."""
        run_dir = Path(launch.run_dir)
        run_dir.mkdir(mode=0o700, exist_ok=True)
        if not (run_dir / "launch.json").exists():
            journal.write_json(run_dir / "launch.json", asdict(launch))
        code = f"{patch}\nfrom providers.runner.runner import run\nrun(Path(sys.argv[1]))"
        with (run_dir / "runner.log").open("wb") as log:
            self.runners.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", f"{HEAD}\n{code}", launch.run_dir],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": str(PACKAGES)},
                )
            )

    def wait(self, launch: Launch, patience_s: float = PATIENCE_S) -> Receipt:
        executor = build({}, self.root)
        run_dir = Path(launch.run_dir)
        self.until(
            lambda: executor.poll(run_dir, launch.token).phase not in {"running", "absent"},
            patience_s,
        )
        receipt = executor.poll(run_dir, launch.token).receipt
        assert receipt is not None, (run_dir / "runner.log").read_text()
        return receipt

    def run(self, *argv: str, **fields: Any) -> tuple[Receipt, Path]:
        launch = self.start(*argv, **fields)
        return self.wait(launch), Path(launch.run_dir)

    def close(self) -> None:
        """Wait for the patched runners to end."""
        for runner in self.runners:
            runner.wait(PATIENCE_S)

    @staticmethod
    def until(done: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < deadline, "it did not come"
            time.sleep(0.02)

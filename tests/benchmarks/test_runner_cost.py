"""What the runner costs, as ratios measured in one run (`pytest -m benchmark -s`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from providers.base import Launch
from providers.executors.local import build
from providers.runner import proc

pytestmark = pytest.mark.benchmark

SPAN_S = 30.0
TREE = "for n in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; touch up; wait"


def _launch(root: Path, name: str, *argv: str) -> Launch:
    environment = root / "env.json"
    environment.write_text(json.dumps({"PATH": os.environ["PATH"]}))
    return Launch(
        job_id="j1",
        attempt=1,
        token=f"token-of-{root}-{name}",
        argv=argv,
        cwd=str(root),
        run_dir=str(root / name),
        env_file=str(environment),
        units_file=str(root / "units"),
        work_dir=str(root),
        region="local",
        slots=1,
    )


def test_start_up_against_a_bare_interpreter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = build({}, tmp_path)
    bare, whole = [], []
    for n in range(10):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - begun)
        launch = _launch(tmp_path, f"run-{n}", "true")
        begun = time.perf_counter()
        executor.start(launch)
        while not (tmp_path / f"run-{n}" / "process.json").exists():
            time.sleep(0.001)
        whole.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(
            f"\nrunner until the job runs: {1000 * min(whole):.0f} ms, "
            f"{min(whole) / min(bare):.1f} x a bare interpreter"
        )


def test_memory_and_cpu_time_over_a_tree_of_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = build({}, tmp_path)
    launch = _launch(tmp_path, "run", "sh", "-c", TREE)
    executor.start(launch)
    while not (tmp_path / "up").exists():
        time.sleep(0.01)
    time.sleep(2.0)
    runner = json.loads((tmp_path / "run" / "started").read_text())["pid"]
    before = Path(f"/proc/{runner}/schedstat").read_text().split()
    time.sleep(SPAN_S)
    after = Path(f"/proc/{runner}/schedstat").read_text().split()
    found = proc.stat(runner)
    assert found is not None
    share = (int(after[0]) - int(before[0])) / 1e9 / SPAN_S
    executor.stop(tmp_path / "run", launch.token, 5.0)
    with capsys.disabled():
        print(
            f"\nrunner at 1 Hz over a tree of 10: {100 * share:.3f} % of a core, "
            f"{found.rss_bytes / 1e6:.1f} MB resident"
        )


def test_start_up_without_a_queue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Until the command runs, and until the block of ``track()`` begins; import included."""
    lowtide = Path(sys.executable).with_name("lowtide")
    env = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    says = [sys.executable, "-I", "-S", "-c", "import time; print(time.time())"]
    block = "from scheduler.meter import track\nwith track(zone='DE'): import time; t = time.time()"
    whole: dict[str, list[float]] = {}
    for _ in range(15):
        for name, argv in (
            ("a bare interpreter", says),
            ("lowtide meter", [str(lowtide), "meter", "--zone", "DE", "--", *says]),
            ("an interpreter with track()", [sys.executable, "-c", f"{block}\nprint(t)"]),
        ):
            begun = time.time()
            done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, check=True)
            whole.setdefault(name, []).append(float(done.stdout) - begun)
    bare = min(whole["a bare interpreter"])
    with capsys.disabled():
        print()
        for name, times in whole.items():
            added = min(times) - bare
            print(f"{name}: {1000 * min(times):.0f} ms, {1000 * added:.0f} ms added")

"""The same two jobs under lowtide, CodeCarbon and Zeus, in one run (`pytest -m benchmark -s`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from providers.runner import proc

pytestmark = pytest.mark.benchmark

SCRIPT = Path(__file__).with_name("trackers.py")
LOWTIDE = Path(sys.executable).with_name("lowtide")
SPAN_S, CHILDREN, EACH_S = 20.0, 50, 0.4
# Work is counted in CPU seconds, start of the interpreter included: the same on a busy machine.
BURN = "import os, time\nwhile time.process_time() < {s}: pass\nos._exit(0)"
CHILD = [sys.executable, "-I", "-S", "-c"]
MANY = (
    "import subprocess, sys\nfor _ in range({n}): "
    "subprocess.run([sys.executable, '-I', '-S', '-c', {burn!r}], check=True)"
)
JOBS = {
    f"one child, {SPAN_S:g} s": [*CHILD, BURN.format(s=SPAN_S)],
    f"{CHILDREN} children, {EACH_S:g} s": [
        *CHILD,
        MANY.format(n=CHILDREN, burn=BURN.format(s=EACH_S)),
    ],
}
ROWS = {
    "lowtide meter": "meter",
    "lowtide track()": "track",
    "CodeCarbon machine": "codecarbon-machine",
    "CodeCarbon process": "codecarbon-process",
    "Zeus": "zeus",
}
HEAD = (
    "| job | tracker | it ran, s | energy, Wh | CPU, mWh | CO2, mg | start + stop + report, s "
    "| CPU beside, s | memory, MB |\n|---|---|---|---|---|---|---|---|---|"
)


def _under_meter(root: Path, job: list[str], env: dict[str, str]) -> dict[str, Any]:
    """``lowtide meter`` is two processes beside the job: both are looked at."""
    begun = time.time()
    made = root / "made.json"
    options = ["--zone", "FR", "--out", str(made), "--run-dir", str(root / "record")]
    metering = subprocess.Popen(
        [LOWTIDE, "meter", *options, "--", *job], env=env, cwd=root, stderr=subprocess.PIPE
    )
    looks: list[tuple[float, float]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            pids = [metering.pid, *proc.children(metering.pid)]
            if len(pids) == 2:
                looks.append((sum(map(_cpu_s, pids)), sum(map(_share_mb, pids))))

    watching = threading.Thread(target=look)
    watching.start()
    err = metering.communicate()[1]
    ended = time.time()
    over.set()
    watching.join()
    assert metering.returncode == 0, err.decode()
    receipt = json.loads((root / "record" / "receipt.json").read_text())
    told = json.loads(made.read_text())
    energy, grams = told["energy_kwh"]["reserved"], told["operational_g"]
    cpu = next(c for c in told["components"] if c["name"] == "cpu")
    return {
        "energy_wh": [1000 * energy[k] for k in ("value", "low", "high")],
        "cpu_wh": 1000 * cpu["active_kwh"]["value"],
        "grams": [grams[k] for k in ("value", "low", "high")],
        "zone": told["zone"],
        "ran_s": receipt["ended_at"] - receipt["started_at"],
        "start_s": receipt["started_at"] - begun,
        "stop_s": 0.0,
        "report_s": ended - receipt["ended_at"],
        "beside_s": looks[-1][0] - looks[0][0],
        "added_mb": max(mb for _, mb in looks),
    }


def _cpu_s(pid: int) -> float:
    """CPU seconds to the nanosecond, without those of children."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _share_mb(pid: int) -> float:
    """Memory of a process, with its share of what it shares (PSS)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def _under(name: str, root: Path, job: list[str], env: dict[str, str]) -> dict[str, Any]:
    root.mkdir()
    if name == "meter":
        return _under_meter(root, job, env)
    done = subprocess.run(
        [sys.executable, SCRIPT, name, *job], env=env, cwd=root, capture_output=True, text=True
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _row(job: str, tracker: str, told: dict[str, Any]) -> str:
    if "failed" in told:
        return f"| {job} | {tracker} | {told['failed']} | | | | | | |"
    cells = [
        job,
        tracker,
        f"{told['ran_s']:.1f}",
        _cell(told["energy_wh"], 1.0),
        _cell(None if told["cpu_wh"] is None else [told["cpu_wh"]], 1000.0),
        _cell(told["grams"], 1000.0),
        " + ".join(f"{told[n]:.2f}" for n in ("start_s", "stop_s", "report_s") if n in told),
        f"{told['beside_s']:.3f}",
        f"{told['added_mb']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _cell(figure: list[float] | None, factor: float) -> str:
    if figure is None:
        return "none"
    value, *bounds = (f"{factor * x:.3g}" for x in figure)
    return f"{value} ({bounds[0]} to {bounds[1]})" if bounds else value


def test_the_same_jobs_under_every_tracker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    env["LOWTIDE_HOME"] = str(tmp_path / "home")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for job, argv in JOBS.items():
        for tracker, name in ROWS.items():
            root = tmp_path / f"{name}-{len(found)}"
            found[job, tracker] = _under(name, root, argv, env)
    with capsys.disabled():
        print(f"\n{HEAD}")
        for (job, tracker), told in found.items():
            print(_row(job, tracker, told))
        print("\nCPU energy of the many short children against the one long child:")
        for tracker in ROWS:
            one, many = (found[job, tracker].get("cpu_wh") for job in JOBS)
            print(f"  {tracker}: {f'{many / one:.3f}' if one and many is not None else 'none'}")
    for tracker in ("lowtide meter", "lowtide track()"):
        one, many = (found[job, tracker] for job in JOBS)
        assert many["cpu_wh"] == pytest.approx(one["cpu_wh"], rel=0.05)
        for told in (one, many):
            assert told["zone"] == "FR"
            for value, low, high in (told["energy_wh"], told["grams"]):
                assert low < value < high

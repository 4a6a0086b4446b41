"""The main job, on this machine: submit, plan, run under the meter, report the realized SCI.

Run by ``make demo``. Everything it writes is in ``.demo`` beside this folder; each run begins
afresh, unless a job of the last one is still running.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".demo"
LOWTIDE = Path(sys.executable).with_name("lowtide")
TRAIN = [sys.executable, str(ROOT / "examples" / "train_digits.py")]
DURATION_S = 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--zone", default="DE", help="grid zone that this machine stands in")
    zone = options.parse_args().zone
    prepare(zone)

    print("\n1. A job with a close deadline runs now, under the meter.\n")
    first = submit(
        ["--name", "digits", "--duration", f"{DURATION_S}s", "--deadline", f"{DURATION_S + 30}s"],
        ["--epochs", "30", "--min-seconds", "0.5", "--checkpoint", str(DEMO / "first.ckpt")],
    )
    state = run_to_end(first)
    lowtide("logs", first)
    lowtide("report", first)
    expect(state == "succeeded", f"the first job ended {state}")
    report = json.loads(lowtide("report", first, "--json", quiet=True))["jobs"][0]
    expect(report["sci_g_per_unit"] is not None, "the report has no SCI")

    print("\n2. The same job with 24 h of slack waits for its window.\n")
    second = submit(
        ["--name", "digits-later", "--duration", "2h", "--deadline", "26h"],
        ["--epochs", "14400", "--min-seconds", "0.5", "--checkpoint", str(DEMO / "second.ckpt")],
    )
    lowtide("show", second)
    lowtide("why", second)
    lowtide("status")
    expect(states()[second] == "planned", f"the second job is {states()[second]}")
    print("\nIt stays queued; to have it started in its window:")
    print(f"LOWTIDE_HOME={DEMO}/home LOWTIDE_CONFIG={DEMO}/config.yaml {LOWTIDE} up")


def prepare(zone: str) -> None:
    """A home and a config of the demo's own."""
    os.environ["LOWTIDE_HOME"] = str(DEMO / "home")
    os.environ["LOWTIDE_CONFIG"] = str(DEMO / "config.yaml")
    if (DEMO / "home").exists():
        for job, state in states().items():
            if state in {"queued", "planned"}:
                lowtide("cancel", job, quiet=True)
        lowtide("tick", quiet=True)
        busy = [job for job, state in states().items() if state in {"starting", "running"}]
        expect(not busy, f"{' '.join(busy)} of the last demo in {DEMO} still runs: let it end")
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    (DEMO / "config.yaml").write_text(
        f"regions:\n  local:\n    zone: {json.dumps(zone)}\n    hardware: {{ccf_server: {{}}}}\n"
    )
    # One thread a library: the job is submitted for one slot.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    print(f"This machine is taken to stand in grid zone {zone} (make demo ZONE=...).")
    print("Its embodied carbon follows Cloud Carbon Footprint's rule for a server: assumed.")


def submit(options: list[str], training: list[str]) -> str:
    """Queue the training job; its id."""
    command = ["--unit", "epochs", "--cwd", str(DEMO), "--", *TRAIN, *training]
    return lowtide("submit", *options, *command).splitlines()[0]


def run_to_end(job: str) -> str:
    """Tick as a daemon would, until the job has ended; its state."""
    patience = time.monotonic() + 90
    print("$ lowtide tick   (every second, until it ends)")
    while time.monotonic() < patience:
        lowtide("tick", quiet=True)
        state = states()[job]
        if state in {"succeeded", "failed", "cancelled", "lost"}:
            return state
        time.sleep(1)
    return "too slow"


def states() -> dict[str, str]:
    """The state of each job by its id."""
    jobs = json.loads(lowtide("status", "--json", quiet=True))["jobs"]
    return {job["job_id"]: job["state"] for job in jobs}


def lowtide(*words: str, quiet: bool = False) -> str:
    """Run the real command; show it and what it prints, unless quiet."""
    if not quiet:
        shown = shlex.join(words).replace(sys.executable, "python").replace(f"{ROOT}/", "")
        print(f"$ lowtide {shown}", flush=True)
    done = subprocess.run([str(LOWTIDE), *words], capture_output=True, text=True, check=False)
    if not quiet:
        print(done.stdout, end="")
        print(done.stderr, end="", flush=True)
    expect(done.returncode == 0, f"lowtide {words[0]} exited {done.returncode}: {done.stderr}")
    return done.stdout


def expect(true: bool, otherwise: str) -> None:
    if not true:
        sys.exit(f"demo: {otherwise}")


if __name__ == "__main__":
    main()

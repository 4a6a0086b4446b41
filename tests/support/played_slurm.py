"""Slurm's commands, played: a queue in a file, which may tell for a while what was true before.

Refusals have the words of a real Slurm 22.05. What a job runs is really run, when a test says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("sbatch", "squeue", "scontrol", "scancel", "sacct", "sinfo")
DISABLED = "Requested operation is presently disabled for job"
PENDING = "Job is pending execution for job"
OVER = "Job has already finished for job"
UNKNOWN = "Invalid job id specified for job"


@dataclass
class PlayedSlurm:
    """The commands in ``folder/bin`` over ``folder/slurm.state``."""

    folder: Path

    def install(self) -> str:
        """Make the commands; returns the folder for PATH."""
        bin_dir = self.folder / "bin"
        bin_dir.mkdir()
        for name in NAMES:
            program = bin_dir / name
            program.write_text(f"#!{sys.executable} -S\n" + Path(__file__).read_text())
            program.chmod(0o755)
        self.write({"jobs": [], "old": [], "lag": 0, "said": [], "lose": False,
                    "accounting": None})  # fmt: skip
        return str(bin_dir)

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "slurm.state").read_text())
        return found

    def write(self, state: dict[str, Any]) -> None:
        (self.folder / "slurm.state").write_text(json.dumps(state))

    def job(self, job_id: str) -> dict[str, Any]:
        return next(j for j in self.read()["jobs"] if str(j["job_id"]) == job_id)

    def change(self, job_id: str, **fields: Any) -> None:
        """Something happens to a job."""
        state = self.read()
        for job in state["jobs"]:
            if str(job["job_id"]) == job_id:
                job.update(fields)
        self.write(state)

    def lose_its_state(self, **stranger: Any) -> None:
        """It forgets all jobs and counts from 1 again; the first number goes to another job."""
        job = {"job_id": 1, "job_state": "PENDING", "comment": "", "name": "theirs",
               "state_reason": "None", "end_time": 0, "restart_cnt": 0, "requeue": True,
               "script": "", "submit_time": time.time()}  # fmt: skip
        self.write(self.read() | {"jobs": [job | stranger]})

    def lag(self, looks: int) -> None:
        """The next ``looks`` at the queue show what is true now."""
        state = self.read()
        self.write(state | {"lag": looks, "old": state["jobs"]})

    def said(self, *words: str) -> list[list[str]]:
        """Commands that were given and obeyed, those that begin with ``words``."""
        return [argv for argv in self.read()["said"] if argv[: len(words)] == [*words]]

    def run(self, job_id: str) -> None:
        """The job's next run: its real script, to its end."""
        job = self.job(job_id)
        assert job["job_state"] == "PENDING"
        environment = {"SLURM_JOB_ID": job_id, "PATH": os.environ["PATH"]}
        if job["restart_cnt"]:
            environment["SLURM_RESTART_COUNT"] = str(job["restart_cnt"])
        done = subprocess.run(
            ["bash"], input=job["script"], env=environment, text=True, check=False,
            capture_output=True,
        )  # fmt: skip
        ended = "COMPLETED" if done.returncode == 0 else "FAILED"
        self.change(job_id, job_state=ended, end_time=time.time())

    def run_all(self) -> None:
        """Every job that may begin does, one after the other."""
        for job in self.read()["jobs"]:
            if job["job_state"] == "PENDING" and job["state_reason"] != "JobHeldUser":
                self.run(str(job["job_id"]))


def _obey(argv: list[str], state: dict[str, Any]) -> tuple[str, str]:
    """What a command prints, and its complaint."""
    name, words = argv[0], [w for w in argv[1:] if not w.startswith("--clusters")]
    options = dict(w.lstrip("-").partition("=")[::2] for w in words if w.startswith("--"))
    if name == "squeue":
        shown = state["jobs"]
        if state["lag"]:
            state["lag"] -= 1
            shown = state["old"]
        return json.dumps({"errors": [], "jobs": shown}), ""
    if name == "sbatch":
        job_id = 1 + len(state["jobs"])
        state["jobs"].append(
            {
                "job_id": job_id, "job_state": "PENDING", "comment": options["comment"],
                "state_reason": "BeginTime" if "begin" in options else "None", "end_time": 0,
                "restart_cnt": 0, "requeue": "requeue" in options, "script": sys.stdin.read(),
                "name": options["job-name"], "submit_time": 0,
            }
        )  # fmt: skip
        return (("", "sbatch: error: Zero Bytes were transmitted or received") if state["lose"]
                else (f"{job_id}\n", ""))  # fmt: skip
    if name == "sacct" and state["accounting"] is not None:
        return json.dumps({"errors": [], "jobs": state["accounting"]}), ""
    if name in {"sacct", "sinfo"}:
        return "", "Slurm accounting storage is disabled"
    verb = "cancel" if name == "scancel" else words[0]
    asked = words[1].removeprefix("JobId=") if verb == "update" else words[-1]
    job = next((j for j in state["jobs"] if str(j["job_id"]) == asked), None)
    if job is None:
        return "", f"{UNKNOWN} {asked}"
    if name == "scancel" and options.get("name", job["name"]) != job["name"]:
        return "", ""
    refusal = _control(verb, job, words)
    return "", f"{refusal} {asked}" if refusal else ""


def _control(verb: str, job: dict[str, Any], words: list[str]) -> str:
    pending, ended = job["job_state"] == "PENDING", job["end_time"] > 0
    if verb == "requeuehold":
        if not job["requeue"]:
            return DISABLED
        if pending:
            return PENDING
        job.update(job_state="PENDING", state_reason="JobHeldUser", end_time=0)
        job["restart_cnt"] += 1
    elif verb == "cancel":
        if not ended:
            job.update(job_state="CANCELLED", end_time=time.time())
    elif ended:
        return OVER
    elif verb == "hold":
        job["state_reason"] = "JobHeldUser"
    elif verb == "release":
        job["state_reason"] = "BeginTime"
    elif verb == "update":
        told = dict(w.partition("=")[::2] for w in words[2:])
        job["comment"] = told.get("Comment", job["comment"])
        job["start_time_asked"] = told.get("StartTime", "")
    return ""


def _main() -> None:
    file = Path(sys.argv[0]).parents[1] / "slurm.state"
    state = json.loads(file.read_text())
    argv = [Path(sys.argv[0]).name, *sys.argv[1:]]
    out, complaint = _obey(argv, state)
    if not complaint and argv[0] != "squeue":
        state["said"].append(argv)
    file.write_text(json.dumps(state))
    sys.stdout.write(out)
    if complaint:
        sys.exit(complaint)


if __name__ == "__main__":
    _main()

"""What Slurm's commands answer, in the shapes of several versions, and rubbish."""

from __future__ import annotations

import errno
import json
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ExecutorError
from providers.executors.slurm import batch, jobs
from providers.executors.slurm.commands import SILENT_S, Commands, _boards
from providers.executors.slurm.energy import note_energy
from providers.executors.slurm.handle import Handle
from providers.executors.slurm.jobs import SlurmJob
from providers.runner import journal

OURS = Handle("7", None, None, None, since_s=100.0, marks=("lowtide:a:1:t0ken",))
OLD = {"job_id": 7, "job_state": "PENDING", "state_reason": "BeginTime", "comment": OURS.marks[0],
       "start_time": 1795554867, "end_time": 0, "shared": None}  # fmt: skip
NEW = {"job_id": 7, "job_state": ["PENDING"], "state_reason": "BeginTime", "comment": OURS.marks[0],
       "start_time": {"set": True, "infinite": False, "number": 1795554867},
       "end_time": {"set": False, "infinite": False, "number": 0}, "shared": ["none"]}  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("job", [OLD, NEW])
def test_a_job_of_any_version_is_read(job: dict[str, Any]) -> None:
    (found,) = jobs.parse_queue(json.dumps({"jobs": [job], "errors": []}))
    assert found == SlurmJob("7", "PENDING", "BeginTime", OURS.marks[0], 1795554867.0, None)
    assert found.stage == "waiting"


@pytest.mark.parametrize(
    ("told", "stage"),
    [
        ("RUNNING", "running"),
        (["COMPLETING", "COMPLETED"], "running"),
        ("SUSPENDED", "running"),
        ("NODE_FAIL", "ended"),
        (["CANCELLED", "SOME_NEW_FLAG"], "ended"),
        ("SPECIAL_EXIT", "waiting"),
        ("SOMETHING_NEW", "unknown"),
        (None, "unknown"),
        ([], "unknown"),
    ],
)
def test_states_mean_what_they_mean(told: Any, stage: str) -> None:
    (found,) = jobs.parse_queue(json.dumps({"jobs": [OLD | {"job_state": told}]}))
    assert found.stage == stage


@pytest.mark.parametrize(
    ("told", "restarts"),
    [(0, 0), (2, 2), ({"set": True, "infinite": False, "number": 2}, 2), ({"set": False}, None),
     (None, None), ("2", None)],
)  # fmt: skip
def test_how_often_a_job_was_requeued_is_told_by_any_version(
    told: object, restarts: int | None
) -> None:
    text = json.dumps({"jobs": [OLD | {"restart_cnt": told}]})
    assert [job.restarts for job in jobs.parse_queue(text)] == [restarts]
    assert [job.restarts for job in jobs.parse_accounting(text)] == [restarts]


@pytest.mark.parametrize(
    ("restarts", "ended_s", "past", "over"),
    [
        (0, 50.0, True, False),
        (1, 50.0, False, False),
        (2, None, False, True),
        (None, 50.0, True, False),  # a version that does not count: what ended before was before
        (None, 150.0, False, False),
        (None, None, False, False),
    ],
)
def test_which_run_of_a_job_is_told_of(
    restarts: int | None, ended_s: float | None, past: bool, over: bool
) -> None:
    handle = Handle("7", None, None, None, restarts=1, since_s=100.0)
    told = SlurmJob("7", "FAILED", ended_s=ended_s, restarts=restarts)
    assert (handle.is_past(told), handle.is_over(told)) == (past, over)


def test_a_jobcomp_file_tells_runs_apart(tmp_path: Path) -> None:
    """Slurm 22.05 writes a line for each end, and one for each requeue."""
    file = tmp_path / "jobcomp"
    lines = ["JobId=7 Name=theirs JobState=PENDING"]
    states = ("FAILED", "PENDING", "COMPLETED")
    lines += [f"JobId=7 Name=lowtide-a JobState={state}" for state in states]
    for count, (state, restarts) in enumerate([("FAILED", 0), ("PENDING", 1), ("COMPLETED", 1)], 2):
        file.write_text("\n".join(lines[:count]))
        found = Commands().completed(str(file), OURS)
        assert found is not None
        assert (found.state, found.restarts) == (state, restarts)


def test_a_dead_controller_is_no_empty_queue() -> None:
    """squeue 22.05 says so with exit code 0."""
    said = {"errors": [{"description": "Failed while looking for jobs"}], "jobs": []}
    with pytest.raises(ExecutorError, match="Failed while looking for jobs"):
        jobs.parse_queue(json.dumps(said))


def _accounted(count: object, exclusive: object = True) -> str:
    step = {"tres": {"consumed": {"total": [{"type": "energy", "count": count}]}}}
    job = {"job_id": 7, "state": {"current": "COMPLETED", "reason": "None"}, "steps": [step],
           "time": {"start": 10, "end": 20}, "comment": {"job": OURS.marks[0]},
           "exclusive": exclusive}  # fmt: skip
    return json.dumps({"jobs": [job]})


@pytest.mark.parametrize(
    ("count", "joules"), [(7200, 7200.0), (0, None), (None, None), ({"set": False}, None)]
)
def test_no_energy_and_none_at_all_are_the_same(count: object, joules: float | None) -> None:
    (found,) = jobs.parse_accounting(_accounted(count))
    assert found == SlurmJob(
        "7", "COMPLETED", "None", OURS.marks[0], 10.0, 20.0, joules, exclusive=True
    )


WITNESS = "second witness: Slurm metered 0.002 kWh for the whole nodes of the job"


class Told(Commands):
    """A site with accounting."""

    def __init__(self, text: str, queue: str = '{"jobs": []}') -> None:
        super().__init__()
        self.text, self.queue_text, self.asked = text, queue, 0

    def run(self, *argv: str, stdin: str = "") -> str:
        if argv[0] == "squeue":
            return self.queue_text
        self.asked += 1
        if not self.text:
            raise ExecutorError("sacct did not answer within 20 s")
        return self.text


QUEUE = json.dumps({"jobs": [OLD | {"exclusive": True}], "errors": []})


@pytest.mark.parametrize(
    ("text", "queue", "notes"),
    [
        (_accounted(7200), "{}", (WITNESS,)),
        (_accounted(0), QUEUE, ()),
        (_accounted(7200, exclusive=None), '{"jobs": [], "errors": []}', ()),
        (_accounted(7200, exclusive=None), QUEUE, (WITNESS,)),  # as Slurm 22.05 tells it
        (_accounted(7200, exclusive=None), "{}", ()),
    ],
)  # fmt: skip
def test_slurms_energy_is_a_second_witness_where_it_is_the_jobs_alone(
    tmp_path: Path, text: str, queue: str, notes: tuple[str, ...]
) -> None:
    journal.JournalWriter(tmp_path, (), {}, 1.0)
    site = Told(text, queue)
    for _ in range(3):
        note_energy(site, tmp_path, OURS)
    assert journal.read_journal(tmp_path).notes == notes
    assert site.asked == 1


def test_silent_accounting_is_not_waited_for_once_a_job(tmp_path: Path) -> None:
    site, now = Told(""), [100.0]
    site.clock = lambda: now[0]
    for _ in range(5):
        note_energy(site, tmp_path, OURS)
    assert site.asked == 1
    now[0] += 2 * SILENT_S
    note_energy(site, tmp_path, OURS)
    assert site.asked == 2


def test_an_end_is_told_though_the_witness_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(journal, "write_json", full)
    note_energy(Told(_accounted(7200)), tmp_path, OURS)
    assert list(tmp_path.iterdir()) == []


@given(json_values)
def test_whatever_slurm_answers_is_a_job_or_an_error_of_ours(value: Any) -> None:
    for text in (json.dumps(value), json.dumps({"jobs": value}), json.dumps({"jobs": [value]})):
        for parse in (jobs.parse_queue, jobs.parse_accounting):
            with suppress(ExecutorError):
                assert all(isinstance(found, SlurmJob) for found in parse(text))


@given(st.text())
def test_whatever_scontrol_prints_is_read(text: str) -> None:
    assert all(found.job_id for found in jobs.parse_lines(f"JobId=3 JobState=FAILED\n{text}")[:1])


def test_lines_of_scontrol_and_of_a_jobcomp_file_are_read() -> None:
    shown = "JobId=3 JobName=x JobState=RUNNING Reason=None Dependency=(null) Comment=lowtide:b "
    assert jobs.parse_lines(f"{shown} Restarts=4 X=1")[0].restarts == 4
    filed = "JobId=3 UserId=root(0) Name=wrap JobState=NODE_FAIL Partition=a ExitCode=0:0"
    assert [(j.job_id, j.stage) for j in jobs.parse_lines(f"{shown}\n{filed}")] == [
        ("3", "running"),
        ("3", "ended"),
    ]


@pytest.mark.parametrize(
    ("gres", "boards"),
    [("(null)", 0), ("gpu:4", 4), ("gpu:a100:4(S:0-1),gpu:2", 6), ("craynetwork:4", 0), ("gpu", 1)],
)
def test_boards_of_a_node_are_counted(gres: str, boards: int) -> None:
    assert _boards(gres) == boards


@pytest.mark.parametrize(
    ("said", "found"), [("17\n", ("17", None)), ("note\n17;grid2\n", ("17", "grid2"))]
)
def test_an_id_may_come_with_its_cluster(said: str, found: tuple[str, str | None]) -> None:
    assert batch.parse_id(said) == found


@pytest.mark.parametrize(
    ("said", "status", "over"),
    [
        ("", 229, True),
        ("scancel: error: Kill job error on job id 4: Job/step already completing or completed", 1,
         True),
        ("scancel: error: Kill job error on job id 4: Invalid job id specified", 1, True),
        ("scancel: error: Kill job error on job id 4: Access/permission denied", 1, False),
        ("", 1, False),
    ],
)  # fmt: skip
def test_what_has_ended_meanwhile_is_cancelled_without_an_error(
    said: str, status: int, over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "scancel"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with nullcontext() if over else pytest.raises(ExecutorError):
        Shown().cancel(OURS)


class Shown(Commands):
    """Our job is in the queue."""

    def queue(self, *, fresh: bool = False) -> list[SlurmJob]:
        return jobs.parse_queue(QUEUE)


def test_a_silent_controller_is_not_waited_for_by_every_job_of_a_pass() -> None:
    asked, now = [], [100.0]

    class Silent(Commands):
        def run(self, *argv: str, stdin: str = "") -> str:
            asked.append(argv)
            raise ExecutorError("squeue did not answer within 20 s")

    silent = Silent(clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(ExecutorError, match="did not answer"):
            silent.queue(fresh=True)
    assert len(asked) == 1
    now[0] += SILENT_S + 1
    with pytest.raises(ExecutorError, match="did not answer"):
        silent.queue()
    assert len(asked) == 2

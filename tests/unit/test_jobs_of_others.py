"""Several jobs in one command, and jobs whose files are not ours to read: each gets its answer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from support.fleet import until

from scheduler.cli import look

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = ("submit", "--duration", "1h", "--earliest", "5h", "--json", "--", "true")


def _sql(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "home" / "lowtide.db")) as raw:
        for statement in statements:
            raw.execute(statement)
        raw.commit()


def test_each_id_is_tried_and_answered_and_the_exit_code_is_the_worst(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    over, theirs, last = (lowtide(*LATER).json["job_id"] for _ in range(3))
    assert lowtide("cancel", over).code == 0
    bobs = "UPDATE job SET spec = json_set(spec, '$.origin.account', 'bob')"
    _sql(tmp_path, f"{bobs} WHERE id = '{theirs}'")
    done = lowtide("cancel", over, "0000none", theirs, last)
    assert done.code == 2
    assert done.out.startswith(f"{last} cancelled: ")
    said = done.err.splitlines()
    assert [line.startswith("lowtide: ") for line in said] == [True] * 3
    assert "has ended (cancelled): nothing to cancel" in said[0]
    assert "0000none" in said[1]
    assert "bob's" in said[2]
    assert lowtide("cancel", over).code == 2
    states = {job["job_id"]: job["state"] for job in lowtide("status", "--json").json["jobs"]}
    assert states == {over: "cancelled", theirs: "planned", last: "cancelled"}


def test_all_are_asked_to_stop_before_the_first_has_ended(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("grace: 1s\nregions: {local: {zone: DE, slots: 2}}\n")
    stubborn = "trap '' TERM; touch $0; while :; do sleep 0.1; done"
    job = ("submit", "--duration", "1h", "--start-by", "1s", "--json", "--", "sh", "-c", stubborn)
    jobs = [lowtide(*job, str(tmp_path / name)).json["job_id"] for name in "ab"]
    assert lowtide("tick").code == 0
    until(lambda: all((tmp_path / name).exists() for name in "ab"))
    assert lowtide("cancel", *jobs).code == 0
    with closing(sqlite3.connect(tmp_path / "home" / "lowtide.db")) as raw:
        (asked,) = raw.execute(
            "SELECT max(at) FROM event WHERE detail = 'asked to stop'"
        ).fetchone()
        (ended,) = raw.execute("SELECT min(ended_at) FROM attempt").fetchone()
    assert asked < ended


@pytest.fixture
def bobs(lowtide: Callable[..., Any], tmp_path: Path) -> str:
    """A job of another account that has run, and is not settled."""
    assert lowtide("run", "--now", "--name", "bobs", "--", "true").code == 0
    change = "UPDATE job SET spec = json_set(spec, '$.origin.account', 'bob', '$.origin.host', 'h')"
    _sql(tmp_path, change, "DELETE FROM settlement")
    (job,) = lowtide("status", "--json").json["jobs"]
    return str(job["job_id"])


def test_logs_that_only_another_may_read_are_one_line(
    lowtide: Callable[..., Any], bobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"lowtide: job {bobs} is bob's on h: its output cannot be read from here\n"

    def refuse(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as root_reads_all:
        root_reads_all.setattr(look, "open_regular", refuse)
        done = lowtide("logs", bobs)
        assert (done.code, done.err) == (2, said)
    (tmp_path / "home" / "runs").rename(tmp_path / "elsewhere")
    done = lowtide("logs", bobs)
    assert (done.code, done.err) == (2, said)


def test_reports_do_not_say_that_it_has_not_run(lowtide: Callable[..., Any], bobs: str) -> None:
    said = "is bob's on h, and not settled there yet"
    assert f"it {said}: there is nothing to report" in lowtide("report", bobs).out
    assert f"It {said}: there is nothing to report" in lowtide("report", bobs, "--markdown").out
    (job,) = lowtide("report", bobs, "--json").json["jobs"]
    assert job["null_reasons"]["operational_g"] == f"the job {said}"
    refused = lowtide("report", bobs, "--format", "boamps")
    assert (refused.code, said in refused.err) == (2, True)
    for command in ("show", "why"):
        done = lowtide(command, bobs)
        assert (done.code, done.err) == (0, ""), command

"""The laws that fault tests go by are broken on purpose: each of them sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import aftermath
from support.database import damage
from support.passes import assert_no_deadline_passed_over

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.conftest import Desk


@pytest.fixture
def database() -> dict[str, str]:
    """What is damaged here is the same on both kinds."""
    return {}


@pytest.fixture
def settled(desk: Desk, tmp_path: Path) -> str:
    """A job that has failed once and then again, with marks as it would have left them."""
    desk.executor.watts = 10.0
    job_id = desk.submit("false", retries=1)
    for _ in range(8):
        desk.tick(minutes=40)
    (tmp_path / "marks").mkdir()
    lines = ("start 1 10", "end 1 10", "start 2 20", "end 2 20")
    _mark(tmp_path, job_id, *lines)
    aftermath.assert_aftermath(desk.ctx.store, tmp_path / "marks", {job_id})
    return job_id


def _mark(folder: Path, name: str, *lines: str) -> None:
    (folder / "marks" / name).write_text("".join(f"{line}\n" for line in lines))


ROWS = {
    "not in the store": "DELETE FROM job",
    "illegal moves": "INSERT INTO event (job_id, at, kind, detail) VALUES (:id, 0, 'failed', 'x')",
    "come to 0 ends": "DELETE FROM event WHERE kind = 'failed' AND id > "
    "(SELECT min(id) FROM event WHERE kind = 'queued')",
    "its row lost": "UPDATE job SET state = 'lost'",
    "never closed": "UPDATE attempt SET ended_at = NULL WHERE number = 1",
    "1 of 2 tries": "UPDATE attempt SET outcome = 'cancelled' WHERE number = 2",
    "is not settled": "DELETE FROM settlement",
    "1 attempts have run, 2 are settled": "DELETE FROM attempt WHERE number = 2",
    "has not run, and is settled": "UPDATE attempt SET started_at = NULL",
    "cut off, and nothing says so": "UPDATE attempt SET outcome = 'lost' WHERE number = 1",
}


@pytest.mark.parametrize("said", ROWS)
def test_damaged_rows_are_seen(said: str, desk: Desk, settled: str, tmp_path: Path) -> None:
    store, statement = desk.ctx.store, ROWS[said]
    damage(store, statement, **({"id": settled} if ":id" in statement else {}))
    laws: tuple[Callable[[], None], ...] = (
        lambda: aftermath.assert_none_lost(store, {settled}),
        lambda: aftermath.assert_ended_once(store),
        lambda: aftermath.assert_started_once(store, tmp_path / "marks"),
        lambda: aftermath.assert_settled(store),
    )
    found = []
    for law in laws:
        try:
            law()
        except AssertionError as e:
            found.append(str(e))
    assert any(said in each for each in found), found


MARKS = {
    "started more than once": ("start 1 10", "start 1 11", "start 2 20"),
    "ended while another one ran": ("start 1 10", "start 2 20", "end 1 10"),
    "does not know have run": ("start 1 10", "start 2 20", "start 3 30"),
    "out of order": ("start 2 20", "start 1 10"),
}


@pytest.mark.parametrize("said", MARKS)
def test_runs_that_should_not_have_been_are_seen(
    said: str, desk: Desk, settled: str, tmp_path: Path
) -> None:
    _mark(tmp_path, settled, *MARKS[said])
    with pytest.raises(AssertionError, match=said):
        aftermath.assert_started_once(desk.ctx.store, tmp_path / "marks")


def test_a_success_without_an_end_is_seen(desk: Desk, settled: str, tmp_path: Path) -> None:
    damage(desk.ctx.store, "UPDATE attempt SET exit_code = 0 WHERE number = 2")
    _mark(tmp_path, settled, "start 1 10", "end 1 10", "start 2 20")
    with pytest.raises(AssertionError, match="said to have succeeded"):
        aftermath.assert_started_once(desk.ctx.store, tmp_path / "marks")


def test_a_run_of_no_known_job_is_seen(desk: Desk, settled: str, tmp_path: Path) -> None:
    _mark(tmp_path, "12345678", "start 1 10")
    with pytest.raises(AssertionError, match="run, and not in the store"):
        aftermath.assert_started_once(desk.ctx.store, tmp_path / "marks")


def test_a_loss_that_nobody_has_caused_is_seen(desk: Desk, settled: str) -> None:
    damage(desk.ctx.store, "UPDATE attempt SET outcome = 'lost' WHERE number = 1")
    aftermath.assert_lost_only_if(desk.ctx.store, {(settled, 1)})
    with pytest.raises(AssertionError, match="nobody killed"):
        aftermath.assert_lost_only_if(desk.ctx.store, {(settled, 2)})


def test_an_environment_that_is_kept_is_seen(desk: Desk, settled: str) -> None:
    desk.ctx.runs.keep_environment(settled, {"TOKEN": "x"})
    with pytest.raises(AssertionError, match="environment is still kept"):
        aftermath.assert_forgotten(desk.ctx.store)


def test_a_deadline_that_a_whole_pass_has_passed_over_is_seen(desk: Desk) -> None:
    job_id = desk.submit("true", deadline="2h")
    latest = desk.job(job_id).spec.latest_start
    assert latest is not None
    at, since = latest.timestamp(), {job_id: desk.clock.now.timestamp()}
    # Nobody was there: nothing could be done. A pass that could wait for the next one might.
    assert assert_no_deadline_passed_over(desk.ctx.store, [(at - 30, at)], since, 10) == 0
    with pytest.raises(AssertionError, match="passed over"):
        assert_no_deadline_passed_over(desk.ctx.store, [(at - 5, at)], since, 10)

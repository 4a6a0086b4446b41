"""The laws that fault tests go by are broken on purpose: each of them sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import aftermath, lateness
from support.database import damage
from support.passes import NOTES, Passes, Seen

from scheduler import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scheduler.models import Job
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
    "another one was alive": ("start 1 10", "end 1 10", "beside 2 20", "start 2 20"),
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
    with pytest.raises(AssertionError, match="were not killed"):
        aftermath.assert_lost_only_if(desk.ctx.store, {(settled, 2)})


def test_a_failure_that_nothing_explains_is_seen(desk: Desk) -> None:
    desk.executor.watts = 10.0
    job_id = desk.submit("false", name=aftermath.SOUND)
    for _ in range(3):
        desk.tick(minutes=40)
    aftermath.assert_lost_only_if(desk.ctx.store, {(job_id, 1)})
    with pytest.raises(AssertionError, match="went wrong"):
        aftermath.assert_lost_only_if(desk.ctx.store, ())


def test_an_environment_that_is_kept_is_seen(desk: Desk, settled: str) -> None:
    desk.ctx.runs.keep_environment(settled, {"TOKEN": "x"})
    with pytest.raises(AssertionError, match="environment is still kept"):
        aftermath.assert_forgotten(desk.ctx.store)


def test_a_start_before_what_it_waits_for_is_seen(desk: Desk) -> None:
    first = desk.submit("true", earliest="1h")
    desk.submit("true", after=(first,))
    for _ in range(6):
        desk.tick(minutes=40)
    aftermath.assert_in_order(desk.ctx.store)
    damage(desk.ctx.store, "UPDATE job SET ended_at = ended_at + 3000 WHERE id = :id", id=first)
    with pytest.raises(AssertionError, match="started before"):
        aftermath.assert_in_order(desk.ctx.store)
    damage(desk.ctx.store, "UPDATE job SET state = 'failed' WHERE id = :id", id=first)
    with pytest.raises(AssertionError, match="waits for is failed"):
        aftermath.assert_in_order(desk.ctx.store)


def _minutely(desk: Desk) -> tuple[str, list[Job]]:
    """A series whose second job comes some minutes late."""
    series, first = desk.repeat("true", duration="1m", every=aftermath.MINUTELY, within="1m")
    engine.cancel(desk.ctx, first, desk.clock.now)
    desk.tick(minutes=10, seconds=30)
    aftermath.assert_series_whole(desk.ctx.store)
    return series.id, desk.jobs()


def test_an_occurrence_that_is_left_out_silently_is_seen(desk: Desk) -> None:
    _minutely(desk)
    damage(desk.ctx.store, "DELETE FROM event WHERE kind = 'skipped'")
    with pytest.raises(AssertionError, match="its story says"):
        aftermath.assert_series_whole(desk.ctx.store)


def test_two_of_a_series_at_once_are_seen(desk: Desk) -> None:
    _, (first, second) = _minutely(desk)
    assert first.ended_at is not None
    begun = "UPDATE job SET started_at = :at WHERE id = :id"
    damage(desk.ctx.store, begun, id=second.id, at=first.ended_at.timestamp() - 1)
    with pytest.raises(AssertionError, match="had not ended"):
        aftermath.assert_series_whole(desk.ctx.store)


def test_a_series_that_a_whole_pass_has_left_without_a_job_is_seen(desk: Desk) -> None:
    series, (first, second) = _minutely(desk)
    assert first.ended_at is not None
    at, made = first.ended_at.timestamp(), second.spec.submitted_at.timestamp()
    engine.cancel_series(desk.ctx, series, desk.clock.now)
    stopped = {series: desk.clock.now.timestamp()}
    for begun, over, broken in ((at - 5, at + 5, 0), (at + 5, made, 1), (made, made + 9, 0)):
        left = lateness.series_left(desk.ctx.store, Seen(((begun, over),)), stopped)
        assert len(left) == broken, (begun, over)


def test_a_deadline_that_a_whole_pass_has_passed_over_is_seen(desk: Desk) -> None:
    job_id = desk.submit("true", deadline="2h")
    latest = desk.job(job_id).spec.latest_start
    assert latest is not None
    at, since = latest.timestamp(), {job_id: desk.clock.now.timestamp()}
    # A pass that could wait for the next one might.
    assert not lateness.of(desk.ctx.store, Seen(((at - 30, at),)), since, (), 10).broken
    assert lateness.of(desk.ctx.store, Seen(((at - 5, at),)), since, (), 10).broken


def test_a_pass_before_the_earliest_start_of_a_job_leaves_it(desk: Desk) -> None:
    job_id = desk.submit("true", earliest="1h", deadline="2h")
    at, since = desk.job(job_id).spec.release.timestamp(), {job_id: desk.clock.now.timestamp()}
    for begun, broken in ((at - 1, 0), (at + 1, 1)):
        found = lateness.of(desk.ctx.store, Seen(((begun, begun + 5),)), since, (), 10)
        assert len(found.broken) == broken, begun


def test_a_pass_that_another_one_overlaps_counts_once_it_is_over(desk: Desk) -> None:
    job_id = desk.submit("true", deadline="2h")
    latest = desk.job(job_id).spec.latest_start
    assert latest is not None
    since = {job_id: desk.clock.now.timestamp()}
    desk.tick(hours=1.5)
    at, claimed = latest.timestamp() - 5, desk.clock.now.timestamp()
    # The other one has claimed it: its own end is of no matter, nor is one that has no end.
    other = (claimed, claimed + 60)
    for over, broken in ((claimed + 30, 0), (claimed + 90, 0), (claimed, 1), (claimed - 30, 1)):
        seen = Seen(((at, over), other))
        found = lateness.of(desk.ctx.store, seen, since, (), 10)
        assert len(found.broken) == broken, over
    assert not lateness.of(desk.ctx.store, Seen((other,)), since, (), 10).broken


def test_only_passes_that_have_come_to_their_end_are_seen(tmp_path: Path) -> None:
    passes = Passes([tmp_path / "h0", tmp_path / "h1", tmp_path / "h2"])
    for home, notes in (("h0", "7.5 9.25\n10.5 11.0\n"), ("h1", "8.5 9.0\n")):
        (tmp_path / home).mkdir()
        (tmp_path / home / NOTES).write_text(notes)
    assert passes.seen().whole == ((7.5, 9.25), (8.5, 9.0), (10.5, 11.0))


def test_late_starts_are_counted_by_cause(desk: Desk) -> None:
    job_id = desk.submit("true", deadline="2h")
    latest = desk.job(job_id).spec.latest_start
    assert latest is not None
    desk.tick(hours=1.5)
    at, since = latest.timestamp(), {job_id: desk.clock.now.timestamp() - 5400}

    def cause(seen: Seen, *, since: Mapping[str, float] = since) -> str:
        (found,) = lateness.of(desk.ctx.store, seen, since, (), 10).starts.items()
        assert found[1] == [1800.0]
        return found[0]

    assert cause(Seen(())) == lateness.BUSY
    assert cause(Seen((), ((at, False),))) == lateness.DEAD
    assert cause(Seen((), ((at, True),))) == lateness.IN_PASS
    assert cause(Seen(()), since={job_id: at - 1}) == lateness.TOO_NEAR
    assert cause(Seen(((at - 5, at),))) == lateness.PASSED_OVER
    desk.ctx.store.jobs.tell(job_id, latest, "waiting", "no free slots in local")
    assert cause(Seen(((at - 5, at),))) == lateness.CAPACITY

"""`status`: what waits is never hidden, and what is left out is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import update

from scheduler.cli import look
from scheduler.models import JobSpec, JobState
from scheduler.store import Store, Wanted
from scheduler.store.rows import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR = timedelta(hours=1)


class Queue:
    """A store filled by hand, one job an hour from ``now`` on."""

    def __init__(self, home: Path, now: datetime, database: dict[str, str] | None = None) -> None:
        from scheduler import address

        named = (database or {}).get("LOWTIDE_DATABASE")
        where = None if named is None else address.parse(named, home, None)
        self.store, self.now, self.made = Store(home, now, where), now, 0

    def add(self, state: str, count: int = 1, **spec: Any) -> list[str]:
        """So many more jobs in a state; an ended one ended an hour after its submission."""
        ids = []
        for _ in range(count):
            self.made += 1
            at = self.now + self.made * HOUR
            asked = {"name": "train", "user": "me", "cwd": "/", "home": "local", **spec}
            given = JobSpec(argv=("true",), duration_s=60.0, submitted_at=at, release=at, **asked)
            ids.append(f"{self.made:08x}")
            self.store.jobs.add(ids[-1], given, at)
            changes: dict[str, Any] = {"state": state}
            if JobState(state).ended:
                changes["ended_at"] = (at + HOUR).timestamp()
            with self.store._database.write() as session:
                session.exec(update(JobRow).where(JobRow.id == ids[-1]).values(**changes))
        return ids

    def listed(self, *, ended: int | None = 50, waiting: int | None = 500, **wanted: Any) -> Any:
        return self.store.listings.of(Wanted(**wanted), ended=ended, waiting=waiting)


@pytest.fixture
def queue(tmp_path: Path, now: datetime, database: dict[str, str]) -> Iterator[Queue]:
    made = Queue(tmp_path, now, database)
    yield made
    made.store.close()


def _ids(listing: Any) -> list[str]:
    return [job.id for job in listing.jobs]


def test_what_waits_and_runs_is_listed_however_many_ended_since(queue: Queue) -> None:
    living = [queue.add(state)[0] for state in ("queued", "running", "planned", "paused")]
    over = queue.add("succeeded", 40) + queue.add("failed", 30)
    found = queue.listed(ended=50)
    assert _ids(found) == living + over[-50:]
    assert found.counts == {
        "queued": 1, "running": 1, "planned": 1, "paused": 1, "succeeded": 40, "failed": 30
    }  # fmt: skip
    assert found.left_out == {"succeeded": 20}
    assert _ids(queue.listed(ended=0)) == living
    every = queue.listed(ended=None, waiting=None)
    assert (_ids(every), every.left_out) == (living + over, {})


def test_the_bound_on_waiting_ones_leaves_out_those_that_start_last(queue: Queue) -> None:
    ids = queue.add("planned", 6)
    queued = queue.add("queued", 2)
    with queue.store._database.write() as session:
        for n, job_id in enumerate(reversed(ids)):
            row = update(JobRow).where(JobRow.id == job_id)
            session.exec(row.values(planned_start=float(n)))
    found = queue.listed(waiting=4)
    assert _ids(found) == ids[2:] + queued
    assert found.left_out == {"planned": 2}


def test_filters_choose_and_counts_are_of_what_they_chose(queue: Queue) -> None:
    queue.add("queued", 3, group="a")
    mine = queue.add("failed", 2, group="b", user="you", name="Eval_1")
    queue.add("failed", 2, group="b", name="evalX1")
    assert _ids(queue.listed(group="b", user="you")) == mine
    assert queue.listed(states=(JobState.FAILED,)).counts == {"failed": 4}
    assert _ids(queue.listed(name="eval_1")) == mine, "an underscore stands for itself"
    assert len(queue.listed(name="eval?1").jobs) == 4
    assert len(queue.listed(name="*AIN").jobs) == 3
    assert queue.listed(name="%").jobs == []
    since = queue.now + 7 * HOUR
    assert queue.listed(since=since).counts == {"queued": 3, "failed": 2}, "what waits stays"


# --- the command ----------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Queue]:
    """The home of the command, with a waiting job that is older than all others."""
    made = Queue(tmp_path / "home", datetime.now(UTC) - 500 * HOUR)
    made.add("queued", name="oldest")
    made.add("cancelled", 60)
    yield made
    made.store.close()


def test_status_says_what_it_leaves_out(home: Queue, lowtide: Callable[..., Any]) -> None:
    shown = lowtide("status")
    assert "oldest" in shown.out
    assert "not listed: 10 cancelled" in shown.err
    found = lowtide("status", "--json").json
    assert found["jobs"][0]["name"] == "oldest"
    assert len(found["jobs"]) == 51
    assert found["counts"] == {"queued": 1, "cancelled": 60}
    assert found["left_out"] == {"cancelled": 10}
    assert lowtide("status", "--json", "--all").json["left_out"] == {}
    few = lowtide("status", "-n", "3", "--json").json
    assert (len(few["jobs"]), few["left_out"]) == (4, {"cancelled": 57})
    assert lowtide("status", "--state", "queued", "--json").json["counts"] == {"queued": 1}
    assert len(lowtide("status", "--since", "450h", "--json", "--all").json["jobs"]) < 61


def test_status_of_nothing_says_which_nothing(home: Queue, lowtide: Callable[..., Any]) -> None:
    assert lowtide("status", "--name", "nothing").out == "no job to list\n"
    none = lowtide("status", "-n", "0", "--state", "cancelled")
    assert none.out == "no job to list\n"
    assert "not listed: 60 cancelled" in none.err
    both = lowtide("status", "--all", "-n", "3")
    assert both.code == 2
    assert lowtide("status", "--state", "gone").code == 2


def test_a_long_queue_is_listed_up_to_a_bound_that_is_said(
    home: Queue, lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "WAITING", 5)
    home.add("queued", 9)
    assert "not listed: 10 cancelled, 5 queued" in lowtide("status").err
    assert lowtide("status", "--json").json["left_out"] == {"cancelled": 10, "queued": 5}

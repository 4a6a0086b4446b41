"""What one damaged row or file costs: its own job, and nothing else."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.damaged import TABLES, VALUES, Home
from support.database import damage

from scheduler import engine
from scheduler.errors import DamagedRow
from scheduler.models import JobState
from tests.conftest import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

FEW = settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@contextmanager
def opened(database: dict[str, str]) -> Iterator[Home]:
    """A home for one example."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home.made(Path(folder) / "work", NOW, database)
        try:
            yield home
        finally:
            home.ctx.close()


@FEW
@given(
    st.lists(
        st.tuples(
            st.sampled_from(TABLES), st.integers(0, 30), st.integers(0, 30), st.sampled_from(VALUES)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_stands_in_a_row_all_other_jobs_start_in_time_and_commands_answer(
    database_kind: Callable[[], dict[str, str]], damages: list[tuple[str, int, int, Any]]
) -> None:
    with opened(database_kind()) as home:
        victims = {home.damage(*each) for each in damages}
        healthy = set.intersection(*(home.healthy(victim) for victim in victims))
        home.in_time(healthy)
        home.answers(*victims)


FILES = ("receipt.json", "started", "launch.json", "pauses.json", "journal.jsonl", "units")
WORDS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b'{"at": 253402300000.0}',
            b'{"at": 1e308}',
            b"[" * 100_000,
            b'{"pauses": [[9e9, 1], [1, null], ["x", 2]]}',
            b'{"pauses": [[1772439300.0, null]]}',
            b'{"components": [{"name": "\\ud800", "method": "measured", "source": ""}], "meta": 1}',
            b'{"note": "\\udfff"}\n{"meta": {"attribution": {"counted_by": []}}}',
        ]
    ),
)


def receipts() -> st.SearchStrategy[bytes]:
    """A receipt of somebody's, with some of it forged."""
    whole = {
        "job_id": "?", "attempt": 1, "reason": "exited", "started_at": NOW.timestamp(),
        "ended_at": NOW.timestamp() + 60, "exit_code": 0, "signal": None, "cpu_s": 1.0,
        "error": None, "pauses": [],
    }  # fmt: skip
    odd = st.sampled_from(
        [None, "x", "time_limit", "paused", "not_started", -1, 1e18, 253402300799.0, 2**70, [], {},
         [[1e9, 2e9]], "\ud800", True]
    )  # fmt: skip
    forged = st.dictionaries(st.sampled_from(sorted(whole)), odd, min_size=1, max_size=3)
    return forged.map(lambda changes: json.dumps(whole | changes).encode())


@FEW
@given(st.sampled_from(FILES), WORDS, receipts(), st.booleans())
def test_whatever_a_job_writes_all_other_jobs_start_in_time_and_commands_answer(
    name: str, words: bytes, receipt: bytes, early: bool
) -> None:
    with opened({}) as home:
        victim = home.ids["runs" if early else "settled"]
        folder = home.ctx.runs.newest(victim)
        assert folder is not None
        content = receipt.replace(b'"?"', json.dumps(victim).encode())
        path = folder.parent / name if name == "units" else folder / name
        path.write_bytes(content if name == "receipt.json" else words)
        home.in_time(home.healthy(victim))
        assert home.ctx.store.jobs.get(victim).state.ended
        home.answers(victim)


def damaged_specs(home: Home) -> Any:
    return [each["id"] for each in json.loads(home.command("status", "--json")[1])["damaged"]]


@pytest.mark.parametrize(
    ("whose", "column"), [("settled", "plan"), ("runs", "spec"), ("waits", "spec")]
)
def test_a_damaged_row_is_named_can_be_cancelled_and_deleted(
    tmp_path: Path, now: datetime, database: dict[str, str], whose: str, column: str
) -> None:
    home = Home.made(tmp_path / "work", now, database)
    victim = home.ids[whose]
    damage(home.ctx.store, f"UPDATE job SET {column} = '{{' WHERE id = :id", id=victim)
    home.tick(seconds=10)
    with pytest.raises(DamagedRow, match=f"job {victim} of the database"):
        home.ctx.store.jobs.get(victim)
    assert damaged_specs(home) == [victim]
    assert victim in home.command("status")[1]
    code, out = home.command("db", "check")
    assert code == 5
    assert f"{victim} (Invalid JSON" in out
    if whose == "runs":  # a pass reads it
        assert [e.job_id for e in home.ctx.store.jobs.troubled(home.clock.now, 9)] == [victim]
    if whose != "settled":
        # Its processes run on, until somebody wants them ended.
        state = home.ctx.store.jobs.found(victim).state
        assert state is (JobState.RUNNING if whose == "runs" else JobState.PLANNED)
        if whose == "runs":
            assert home.command("db", "delete", "job", victim)[0] == 2, "it may still run"
        cancelled = engine.cancel(home.ctx, victim, home.clock.now)
        home.tick(seconds=1)
        assert home.ctx.store.jobs.found(cancelled.id).state is JobState.CANCELLED
    else:
        assert home.command("cancel", victim)[0] == 2
    assert home.command("db", "delete", "job", home.ids["waits too"])[0] == 2, "it can be read"
    assert home.command("db", "delete", "job", victim)[0] == 0
    assert home.command("db", "check")[0] == 0
    assert home.command("cancel", victim)[0] == 2
    home.ctx.close()


def test_a_damaged_job_gives_its_slots_back_when_its_processes_end(
    tmp_path: Path, now: datetime
) -> None:
    home = Home.made(tmp_path / "work", now, {})
    victim, other = home.ids["runs"], home.ids["runs too"]
    damage(home.ctx.store, "UPDATE job SET spec = '' WHERE id = :id", id=victim)
    damage(home.ctx.store, "UPDATE attempt SET run_dir = 'x' WHERE job_id = :id", id=other)
    home.tick(minutes=1)
    for job_id in (victim, other):
        assert home.ctx.store.jobs.found(job_id).state is JobState.RUNNING
    home.tick(hours=1)
    for job_id in (victim, other):
        ended = home.ctx.store.jobs.found(job_id)
        assert ended.state is JobState.SUCCEEDED
    home.ctx.close()


def test_a_damaged_series_is_named_and_can_be_cancelled(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> None:
    home = Home.made(tmp_path / "work", now, database)
    series = home.ids["series"]
    damage(home.ctx.store, "UPDATE recurrence SET tz = 'Nowhere/At_all'")
    home.tick(seconds=10)
    assert damaged_specs(home) == [series]
    assert home.command("cancel", series)[0] == 0
    assert damaged_specs(home) == []
    home.ctx.close()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("power", "1e306W"), ("power", "1e9kW"), ("power", "1e-300W"), ("energy", "1e305kWh"),
        ("energy", "999999999kWh"), ("data", "1e300GB"),
    ],
)  # fmt: skip
def test_a_figure_beyond_all_machines_is_refused_and_nothing_is_queued(
    tmp_path: Path, now: datetime, option: str, text: str
) -> None:
    home = Home.made(tmp_path / "work", now, {})
    before = {job.id for job in home.ctx.store.jobs.find()}
    folders = {path.name for path in (tmp_path / "work/home/runs").iterdir()}
    code, _ = home.command("submit", "--duration", "1h", f"--{option}", text, "--", "true")
    assert code == 2
    assert {job.id for job in home.ctx.store.jobs.find()} == before
    assert {path.name for path in (tmp_path / "work/home/runs").iterdir()} == folders
    home.ctx.close()


def test_two_accounts_on_one_database_do_not_stop_each_other(
    tmp_path: Path, now: datetime, database_kind: Callable[[], dict[str, str]]
) -> None:
    database = database_kind()
    if not database:
        pytest.skip("accounts share a server's database only")
    mine = Home.made(tmp_path / "mine", now, database)
    theirs = Home.made(tmp_path / "theirs", now, database)
    for column, value in (("spec", "{"), ("plan", '{"window": null}'), ("latest_start", 1e300)):
        sets = f"UPDATE job SET {column} = :value WHERE id = :id"
        damage(mine.ctx.store, sets, value=value, id=mine.submit(deadline="9h"))
    theirs.in_time(theirs.healthy(None))
    theirs.answers()
    mine.ctx.close()
    theirs.ctx.close()

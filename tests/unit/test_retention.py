"""What ended jobs leave: few bytes and files, no secrets, and nothing that readers need."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from providers.runner import journal
from scheduler import engine
from scheduler.cli import entries
from scheduler.engine import retention, runs
from scheduler.engine.runs import RunFolders
from scheduler.models import Figures, JobState
from scheduler.report import schema, summary, terminal
from scheduler.store import packed, values

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from conftest import Desk

DAY = timedelta(days=1)
# What the runner and its executor leave of a job that writes nothing.
FOLLOWED = ("started", "launch.json", "launched.json", "process.json", "stop.json", "asked.json")
LOGS = ("stdout.log", "stderr.log", "runner.log")


def _ended(desk: Desk, **fields: Any) -> str:
    """A job that has run and is settled finally, with the files of a real run."""
    job_id = desk.submit(**fields)
    desk.tick()
    folder = _folder(desk, job_id) / "1"
    for name in (*FOLLOWED, *LOGS, ".launch.json.host.77"):
        (folder / name).touch()
    (folder / "stdout.log").write_text("words\n")
    journal.write_json(folder / "receipt.json", {})
    desk.tick(hours=1)
    assert desk.job(job_id).state is JobState.SUCCEEDED
    return job_id


def _folder(desk: Desk, job_id: str) -> Path:
    return desk.ctx.runs.environment(job_id).parent


def _all(desk: Desk, statement: str) -> list[Any]:
    with desk.ctx.store._database.write() as session:
        found = session.connection().execute(text(statement))
        return list(found) if found.returns_rows else []


def _bytes_of_rows(desk: Desk, job_id: str) -> int:
    keys = {"job": "id", "event": "job_id", "attempt": "job_id", "settlement": "job_id"}
    rows = [
        row
        for table, key in keys.items()
        for row in _all(desk, f"SELECT * FROM {table} WHERE {key} = '{job_id}'")
    ]
    return sum(len(str(value)) for row in rows for value in row)


def test_an_ended_job_takes_few_bytes_and_three_files(desk: Desk) -> None:
    job_id = _ended(desk, power="1kW")
    found = [p for p in _folder(desk, job_id).rglob("*") if not p.is_dir()]
    assert {p.name for p in found} == {"receipt.json", "stdout.log"}, "the fake meters nothing"
    assert _bytes_of_rows(desk, job_id) < 4000


def test_two_passes_that_sweep_at_once_are_no_trouble_of_the_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runs._is_spent

    def is_spent(path: Path) -> bool:
        if path.name in FOLLOWED:
            path.unlink()  # as the other pass does, just before this one looks
        return real(path)

    monkeypatch.setattr(runs, "_is_spent", is_spent)
    job_id = _ended(desk)
    assert desk.story(job_id, "trouble") == []
    assert not [p for p in _folder(desk, job_id).rglob("*") if p.name in FOLLOWED]


def test_a_plan_keeps_its_alternatives_until_its_job_has_ended(desk: Desk) -> None:
    jobs, job = desk.ctx.store.jobs, desk.job(desk.submit(power="1kW"))
    assert job.plan is not None
    compared = replace(job.plan, alternatives=(job.plan.window,) * 3)
    assert jobs.plan(job, compared, desk.clock.now)
    assert jobs.get(job.id).plan == compared
    desk.tick()
    desk.tick(hours=1)
    assert jobs.get(job.id).plan == job.plan


@given(st.text(max_size=2000), st.integers(0, 30))
def test_a_packed_text_comes_back_and_a_damaged_one_stands_as_it_is(said: str, cut: int) -> None:
    said = said.removeprefix("z").encode(errors="ignore").decode()
    stored = packed.pack(said)
    assert packed.unpack(stored) == said
    if stored.startswith(packed.MARK):
        torn = stored[: len(packed.MARK) + cut]
        assert packed.unpack(torn) == torn


def test_what_an_earlier_version_packed_is_read() -> None:
    stored = "z1:ePlrDTFwo3q/AdQAzwTWtECqHNhTLgE1OYAO0EF0oUDNQJA1aN0CAG8dLqU="
    assert packed.unpack(stored) == (
        '{"rule":"the SCI is the sum over all components","met":"met","why":"cpu + dram"}'
        ", as it was written once, and the score is in the boundary"
    )


def test_sums_of_many_jobs_are_those_of_their_settlements(desk: Desk) -> None:
    ids = [_ended(desk, power=f"{n}kW", project=name) for n, name in ((1, "a"), (2, "b"), (3, "a"))]
    cancelled = desk.submit(project="b")
    engine.cancel(desk.ctx, cancelled, desk.clock.now)
    # One by a version that kept no figures beside the payload.
    _all(desk, f"UPDATE settlement SET figures = NULL WHERE job_id = '{ids[1]}'")
    jobs = [desk.job(job_id) for job_id in (*ids, cancelled)]
    pairs = [(job, desk.ctx.store.settlements.latest(job.id)) for job in jobs]
    since = desk.clock.now - DAY
    for by in (None, "project", "user"):
        found = entries.spent(desk.ctx, since, desk.clock.now, by)  # type: ignore[arg-type]
        assert summary.summed(found, by) == summary.summarize(pairs, by)
    assert schema.totals(pairs)["jobs"] == 4


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (1, ["a", "b", "c"]),
        (1, [3.0, 2.0, 1.0]),
        (2, [float("inf")] * 3),
        (2, 7.0),
        (8, "half"),
        (9, ["outer"]),
        (10, {}),
    ],
)
def test_damaged_figures_of_a_job_are_summed_from_its_settlement(
    desk: Desk, place: int, found: object
) -> None:
    damaged, whole = _ended(desk, power="1kW"), _ended(desk, power="2kW")
    pairs = [(desk.job(i), desk.ctx.store.settlements.latest(i)) for i in (damaged, whole)]
    assert pairs[0][1] is not None
    figures: list[object] = list(Figures.of(pairs[0][1]))
    figures[place] = found
    text = json.dumps(figures)
    _all(desk, f"UPDATE settlement SET figures = '{text}' WHERE job_id = '{damaged}'")
    costs = entries.spent(desk.ctx, desk.clock.now - DAY, desk.clock.now, None)
    assert summary.summed(costs, None) == summary.summarize(pairs, None)


def test_what_a_killed_submission_kept_is_gone_after_the_next_pass(desk: Desk) -> None:
    runs = desk.ctx.runs
    booked = desk.submit()
    for job_id in ("dead0001", booked):
        submitter = os.fork()
        if submitter == 0:
            with runs.submitting([job_id]):
                if job_id != booked:
                    runs.keep_environment(job_id, {"TOKEN": "secret"})
                os._exit(9)
        os.waitpid(submitter, 0)  # this process has other children, too
    with runs.submitting(["cafe0001"]):
        runs.keep_environment("cafe0001", {"TOKEN": "secret"})
        assert runs.under_way() == sorted(["cafe0001", "dead0001", booked])
        retention.sweep(desk.ctx, desk.clock.now)
        assert runs.under_way() == ["cafe0001"], "its submitter lives"
        assert runs.environment("cafe0001").exists()
    assert not _folder(desk, "dead0001").exists()
    assert runs.environment(booked).exists(), "it was in the queue when its submitter was killed"
    assert runs.under_way() == []


def test_who_is_killed_after_an_end_leaves_no_environment_behind(desk: Desk) -> None:
    job_id, now = desk.submit(earliest="2h"), desk.clock.now
    # As a cancellation that is killed before it deletes the environment.
    before = desk.job(job_id).state
    desk.ctx.store.jobs.transition(
        job_id, before, JobState.CANCELLED, now, "cancelled", ended_at=now
    )
    assert desk.ctx.runs.environment(job_id).exists()
    desk.tick()
    assert not _folder(desk, job_id).exists()


def test_nothing_is_taken_from_a_job_that_is_not_settled_finally(
    desk: Desk,
) -> None:
    desk.provider.actuals = True
    desk.provider.final_after_s = 10 * 86400.0
    job_id = _ended(desk, power="1kW")
    assert (_folder(desk, job_id) / "1" / "launch.json").exists()
    later = desk.clock.now + 2 * DAY
    found = retention.prunable(desk.ctx, later)
    assert (found.found, found.unsettled) == ((), 1)


def test_pruning_keeps_the_job_and_its_settlement(desk: Desk) -> None:
    old = _ended(desk, power="1kW")
    desk.clock.advance(days=10)
    new, waiting = _ended(desk, power="1kW"), desk.submit(earliest="1h")
    now = desk.clock.now
    settled = desk.ctx.store.settlements.latest(old)
    found = retention.prunable(desk.ctx, now - 5 * DAY)
    assert [each.job_id for each in found.found] == [old]
    assert _folder(desk, old).exists(), "what is looked for is not deleted"
    retention.prune(desk.ctx, found, now)
    assert not _folder(desk, old).exists()
    assert _folder(desk, new).exists()
    assert desk.ctx.runs.environment(waiting).exists()
    job = desk.job(old)
    assert (job.state, job.pruned_at) == (JobState.SUCCEEDED, now)
    assert desk.ctx.store.settlements.latest(old) == settled
    assert [e.kind for e in desk.ctx.store.jobs.events(old)] == ["pruned"]
    # Readers say so, and depend on nothing that is gone.
    said = f"pruned at {now:%Y-%m-%dT%H:%M:%SZ}"
    assert "pruned at 10:00" in terminal.job_view(job, now, now.tzinfo)  # type: ignore[arg-type]
    entry = entries.entry(desk.ctx, job)
    assert entry.settlement is not None
    assert said in entry.settlement.notes[-1]
    assert said in entry.as_json()["notes"][-1]
    assert schema.job_json(job)["pruned_at"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"
    # It is never settled again from what is gone.
    desk.tick(days=30)
    assert desk.ctx.store.settlements.latest(old) == settled
    assert retention.prunable(desk.ctx, now - 5 * DAY).found == ()


def test_pruning_deletes_forecasts_that_no_kept_job_needs(desk: Desk) -> None:
    """Nor those by which sources are judged, nor the newest one of a zone."""
    begun, forecasts = desk.clock.now, desk.ctx.store.forecasts
    _ended(desk, power="1kW")
    first = forecasts.newest("fake", "DE")
    assert first is not None
    ids = {0: first.row_id}
    for days in (40, 80, 120):
        later_s, at = days * DAY.total_seconds(), begun + days * DAY
        starts, ends = first.series.starts + later_s, first.series.ends + later_s
        later = replace(first.series, starts=starts, ends=ends, issued_at=at)
        ids[days] = forecasts.remember("fake", later, at)

    def stay(before: datetime) -> list[int]:
        found = retention.prunable(desk.ctx, before).forecasts
        return [days for days, row_id in ids.items() if row_id not in found]

    desk.clock.advance(days=80)
    _ended(desk, power="1kW")
    assert stay(begun + 27 * DAY) == [0, 40, 80, 120]
    assert stay(begun + 60 * DAY) == [40, 80, 120]
    assert stay(begun + 200 * DAY) == [120]
    desk.submit(earliest="1h")
    found = retention.prunable(desk.ctx, begun + 200 * DAY)
    retention.prune(desk.ctx, found, desk.clock.now)
    left = {row_id for (row_id,) in _all(desk, "SELECT id FROM forecast")}
    assert left >= {ids[80], ids[120]}
    assert not left & {ids[0], ids[40]}


def test_who_is_killed_amid_pruning_finds_the_rest_the_next_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, now = _ended(desk), desk.clock.now

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    found = retention.prunable(desk.ctx, now + DAY)
    with monkeypatch.context() as patched:
        patched.setattr(RunFolders, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            retention.prune(desk.ctx, found, now)
    assert desk.job(job_id).pruned_at == now
    left = retention.prunable(desk.ctx, None)
    assert [each.job_id for each in left.found] == [job_id]
    retention.prune(desk.ctx, left, now + DAY)
    assert not _folder(desk, job_id).exists()
    assert desk.job(job_id).pruned_at == now


def test_an_environment_of_no_known_job_goes_only_when_pruned(desk: Desk) -> None:
    """It may be that of a job in another database."""
    waiting = desk.submit(earliest="1h")
    desk.ctx.runs.keep_environment("dead0001", {"TOKEN": "secret"})
    desk.tick()
    assert desk.ctx.runs.environment("dead0001").exists()
    found = retention.prunable(desk.ctx, None)
    assert [(each.job_id, each.orphan) for each in found.found] == [("dead0001", True)]
    retention.prune(desk.ctx, found, desk.clock.now)
    assert not _folder(desk, "dead0001").exists()
    assert desk.ctx.runs.environment(waiting).exists()


@pytest.mark.parametrize(("span", "kept"), [("90d", True), ("1d", False), ("null", True)])
def test_passes_prune_only_where_the_configuration_says_so(
    make_desk: Callable[[str], Desk], span: str, kept: bool
) -> None:
    desk = make_desk(f"retention: {{runs: {span}}}\n")
    job_id = _ended(desk)
    desk.tick(days=3)
    assert _folder(desk, job_id).exists() is kept


def test_rows_of_earlier_versions_are_written_compactly_by_a_pass(desk: Desk) -> None:
    job_id = _ended(desk, power="1kW")
    job, settled = desk.job(job_id), desk.ctx.store.settlements.latest(job_id)
    assert job.plan is not None
    with desk.ctx.store._database.write() as session:
        whole = replace(job.plan, alternatives=(job.plan.window,) * 200)
        plain = {
            "id": job_id,
            "plan": values.plans().dump_json(whole).decode(),
            "payload": packed.unpack(values.settlement_text(settled)),  # type: ignore[arg-type]
        }
        of_job = "UPDATE job SET plan = :plan, swept = FALSE WHERE id = :id"
        of_settlement = "UPDATE settlement SET payload = :payload, figures = NULL"
        session.connection().execute(text(of_job), plain)
        session.connection().execute(text(of_settlement), plain)
    assert desk.ctx.store.settlements.latest(job_id) == settled, "read as it was written"
    before = _bytes_of_rows(desk, job_id)
    desk.tick()
    assert _bytes_of_rows(desk, job_id) < before / 10
    assert desk.ctx.store.settlements.latest(job_id) == settled
    assert desk.job(job_id) == job


def test_a_damaged_plan_does_not_keep_its_job_from_ending(desk: Desk) -> None:
    assert values.decided('{"made_at": ') == '{"made_at": '
    assert values.decided("[" * 10_000) == "[" * 10_000
    assert values.decided("7") == "7"


def test_prune_is_dry_by_default(
    lowtide: Callable[..., Any], tmp_path: Path, now: datetime
) -> None:
    none = lowtide("prune")
    assert none.code == 0
    assert "--older-than 90d" in none.err
    assert lowtide("prune", "--older-than", "soon").code == 2
    runs = RunFolders(tmp_path / "home" / "runs")
    runs.keep_environment("dead0001", {"TOKEN": "secret"})
    dry = lowtide("prune", "--json").json
    assert (dry["deleted"], dry["orphans"]) == (False, ["dead0001"])
    assert runs.environment("dead0001").exists()
    assert "add --yes" in lowtide("prune").err
    assert lowtide("prune", "--yes", "--json").json["deleted"] is True
    assert not runs.environment("dead0001").exists()

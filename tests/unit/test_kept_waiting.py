"""Who is kept waiting by another process hears of it, by which one, and not for ever."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.database import open_store
from support.holder import standing_still

from providers.transport import ledger
from scheduler import daemon, engine, locks
from scheduler.errors import BusyError, StoreError, StoreUnavailable
from scheduler.locks import held, holder
from scheduler.outage import LONG_TURN, Outage
from scheduler.store import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Takes a lock as a pass does, and signs it.
HOLDER = """
import fcntl
lock = open(sys.argv[1], "r+")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), sys.argv[2], file=lock, flush=True)
"""
SINCE = "2026-03-02T08:00:00Z"


@contextmanager
def _stopped_holder(lock: Path) -> Iterator[int]:
    lock.parent.mkdir(exist_ok=True, parents=True)
    lock.touch(0o600)
    with standing_still(HOLDER, str(lock), SINCE) as pid:
        yield pid


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_lock_is_its_owners_and_says_who_took_it(tmp_path: Path, umask: int) -> None:
    path, before = tmp_path / "x.lock", os.umask(umask)
    try:
        assert holder(path) is None
        with held(path) as mine, held(path) as taken:
            assert (mine, taken) == (True, False)
            found = holder(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert found is not None
    assert (found.pid, found.stopped) == (os.getpid(), False)
    assert found.since is not None
    assert abs(datetime.now(UTC) - found.since) < timedelta(minutes=5)


@pytest.mark.parametrize("content", ["", "x y", "1", "1 2026-13-01", "9" * 300, "\\xff 1 2 3"])
def test_what_else_stands_in_a_lock_names_no_holder(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.lock").write_text(content)
    assert holder(tmp_path / "x.lock") is None


def test_a_pass_that_works_is_named_and_one_that_is_stopped_is_an_error(desk: Any) -> None:
    lock = desk.ctx.config.home / "tick.lock"
    with held(lock), pytest.raises(BusyError, match=rf"\(process {os.getpid()}, since 20"):
        desk.tick()
    with _stopped_holder(lock) as pid:
        said = f"process {pid}, since {SINCE}, which is stopped: `kill -CONT {pid}` lets it go on"
        with pytest.raises(StoreUnavailable, match=said):
            desk.tick()
        assert engine.follow(desk.ctx, "any job", desk.clock.now) is False
    desk.tick()


class Time:
    """A clock that only moves when something sleeps, and what is to happen at which time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.at_s: dict[float, Callable[[], object]] = {}

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, span_s: float) -> None:
        self.now_s += span_s
        for at_s in [at_s for at_s in self.at_s if at_s <= self.now_s]:
            self.at_s.pop(at_s)()


@pytest.mark.parametrize("turn_s", [1.0, 9.0])
def test_a_pass_that_has_begun_goes_on_after_the_long_turn_of_another_one(
    desk: Any, monkeypatch: pytest.MonkeyPatch, turn_s: float
) -> None:
    time, other = Time(), held(desk.ctx.config.home / "tick.lock")
    monkeypatch.setattr(locks, "time", time)

    def asked(*_: object) -> None:
        """Meanwhile another pass begins, and is long at its engines."""
        assert other.__enter__()
        time.at_s[turn_s] = lambda: other.__exit__(None, None, None)

    monkeypatch.setattr(engine.engine.planner, "refresh", asked)
    # Its start was missed: only a new plan starts it, which is made once sources were asked.
    job_id = desk.submit("true", deadline="9h")
    desk.tick(hours=1)
    assert time.now_s >= turn_s
    assert desk.job(job_id).attempt == 1


def test_a_pass_whose_second_turn_never_came_says_so(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "time", Time())
    with ExitStack() as other:
        lock = desk.ctx.config.home / "tick.lock"
        monkeypatch.setattr(
            engine.engine.planner, "refresh", lambda *_: other.enter_context(held(lock))
        )
        job_id = desk.submit("true", deadline="9h")
        with pytest.raises(BusyError, match="another pass of"):
            desk.tick(hours=1)
    assert desk.job(job_id).attempt == 0


def test_cron_and_cancel_answer_beside_a_pass_that_is_stopped(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    job = ("submit", "--duration", "1h", "--earliest", "5h", "--json", "--", "true")
    waiting, other = (lowtide(*job).json["job_id"] for _ in range(2))
    with _stopped_holder(tmp_path / "home" / "tick.lock") as pid:
        done = lowtide("tick")
        assert (done.code, done.err.count("\n")) == (5, 1)
        assert f"process {pid}, since {SINCE}, which is stopped" in done.err
        assert lowtide("status").code == 0
        done = lowtide("cancel", waiting)
        assert (done.code, "cancelled" in done.out) == (0, True)
    assert lowtide("cancel", other).code == 0


def test_a_daemon_that_ends_does_not_wait_for_ever_for_a_stopped_pass(
    desk: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.tick()
    monkeypatch.setattr(engine.engine, "ENDING_S", 0.05)
    with _stopped_holder(desk.ctx.config.home / "tick.lock") as pid:
        daemon._step_down(desk.ctx)
    said = capsys.readouterr().err
    assert f"process {pid}" in said
    assert "once this one's lease has run out" in said
    assert engine.leader(desk.ctx, desk.clock.now) is not None
    daemon._step_down(desk.ctx)
    assert engine.leader(desk.ctx, desk.clock.now) is None


def test_a_second_daemon_learns_which_process_is_the_first(tmp_path: Path) -> None:
    said = rf"process {os.getpid()}, since 20"
    with (
        engine.sole_daemon(tmp_path),
        pytest.raises(StoreError, match=said),
        engine.sole_daemon(tmp_path),
    ):
        pass


def test_a_long_turn_of_another_pass_is_worth_a_line(
    now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    outage, busy = Outage(), BusyError("process 7 is at work")
    outage.goes_on(busy, now)
    outage.is_over(now)
    outage.goes_on(busy, now)
    outage.goes_on(busy, now + LONG_TURN / 2)
    assert capsys.readouterr().err == ""
    outage.goes_on(busy, now + LONG_TURN)
    outage.goes_on(busy, now + 2 * LONG_TURN)
    outage.is_over(now + 3 * LONG_TURN)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("lowtide: process 7 is at work; running jobs go on")
    assert last == "lowtide: the queue goes on again after 180 s"


def test_a_source_is_asked_beside_a_process_that_keeps_its_page(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "LOCK_PATIENCE_S", 0.02)
    page = tmp_path / "contact" / "source.json"
    with _stopped_holder(page):
        known = ledger.Ledger("source", tmp_path)
        known.answered(now)
        assert ledger.contact("source", tmp_path) is not None


def test_the_writer_that_keeps_a_postgres_waiting_is_named(
    tmp_path: Path,
    now: datetime,
    postgres_databases: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = {"LOWTIDE_DATABASE": postgres_databases.fresh()}
    first, second = (open_store(tmp_path / name, named, now) for name in ("a", "b"))
    with first.together():
        first.beats.beat("x", now)
        monkeypatch.setattr(postgres, "PATIENCE_S", 1)
        said = rf"lowtide {os.getpid()} on \S+ \(the server's process \d+, since 20"
        with pytest.raises(StoreUnavailable, match=said):
            second.beats.beat("y", now)
        assert second.beats.last("x") is None, "readers wait for no writer"
    second.beats.beat("y", now)
    assert first.beats.last("y") == now
    for store in (first, second):
        store.close()

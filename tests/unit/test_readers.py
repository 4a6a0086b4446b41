"""Readers, `cancel` and `submit` wait for no pass, however slow its sources or engines are.

A source or an engine that answers only once the command has ended stands for a slow one: who waits
for it waits until its patience is over, and the test fails.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.server import Reply, SourceServer

from providers.base import Receipt
from providers.runner import journal
from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.errors import BusyError
from scheduler.locks import held
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.base import RunState
    from providers.series import Series

SETTINGS = """
refresh: 1s
grace: 1s
providers: [slow]
sources: {{slow: {{type: energy_charts, base_url: "{url}"}}}}
regions:
  local: {{zone: DE, slots: 8}}
"""
# No test comes near it unless something waits that must not.
PATIENCE_S = 60.0
READERS = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "show": ("show", "WAITING"),
    "show --json": ("show", "RUNNING", "--json"),
    "why": ("why", "WAITING"),
    "logs": ("logs", "RUNNING"),
    "report": ("report",),
    "report of one": ("report", "RUNNING", "--json"),
    "report since": ("report", "--since", "2d", "--json"),
    "compare": ("compare", "RUNNING", "ENDED"),
}


class Gate:
    """Lets who comes through at once, until it is shut."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Event(), threading.Event()
        self._open.set()
        self.kept_too_long = False

    def pass_through(self) -> None:
        """Come in, and wait until it is open."""
        if not self._open.is_set():
            self.entered.set()
            self.kept_too_long |= not self._open.wait(PATIENCE_S)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Keep whoever comes until the end of the block."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


@dataclass
class SlowProvider(FakeProvider):
    """Answers when its gate is open."""

    gate: Gate = field(default_factory=Gate)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        self.gate.pass_through()
        return super().forecast(zone, start, end, now)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        self.gate.pass_through()
        return super().actual(zone, start, end)


@dataclass
class SlowExecutor(FakeExecutor):
    """The same for an engine."""

    gate: Gate = field(default_factory=Gate)

    def poll(self, run_dir: Path, token: str) -> RunState:
        self.gate.pass_through()
        return super().poll(run_dir, token)


class Home:
    """A home with one job that waits, one that runs and two that have ended."""

    def __init__(self, folder: Path, environ: dict[str, str], server: SourceServer) -> None:
        self.server = server
        (folder / "config.yaml").write_text(SETTINGS.format(url=server.url))
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
        self.clock, hour = FixedClock(start), start.replace(minute=0, second=0)
        self.source = SlowProvider(hour, {"DE": [100.0] * 240}, actuals=True)
        self.executor = SlowExecutor(clock=self.clock, run_s=3600)
        self.executor.durations_s = {"sleep": 1e6}
        self.config = config.load(None, environ, folder)
        self.ctx = Context.open(
            self.config,
            start,
            sources={"slow": self.source},
            executors={"local": self.executor},
            environ=environ,
        )
        self.ids = {"ENDED": self.submit("true"), "OTHER": self.submit("true")}
        self.ids["RUNNING"] = self.submit("sleep", "9")
        for minutes in (0, 1, 90):
            self.clock.advance(minutes=minutes)
            self.tick()
        # The last answer is older than `refresh`, as it is whenever a pass asks.
        self.clock.now = datetime.now(UTC) - timedelta(seconds=60)
        self.ids["WAITING"] = self.submit("true", earliest="5h", deadline="20h")
        self.tick()
        self.clock.now = datetime.now(UTC)

    def submit(self, *argv: str, **fields: Any) -> str:
        request, now = Request(argv=argv, duration="1h", **fields), self.clock.now
        spec = submission.to_spec(
            request, self.config, now, self.ctx.here.origin.account, Path("/"), need_duration=True
        )
        return engine.submit(self.ctx, request, spec, dict(os.environ), now)[0]

    def tick(self) -> None:
        engine.tick(self.ctx, self.clock.now, self.clock.now + timedelta(seconds=10))

    def state(self, which: str) -> JobState:
        return self.ctx.store.jobs.get(self.ids[which]).state

    def words(self, *argv: str) -> tuple[str, ...]:
        return tuple(self.ids.get(word, word) for word in argv)

    @contextmanager
    def during_a_pass(self, gate: Gate) -> Iterator[None]:
        """Within, a pass waits at ``gate``; afterwards it comes to its end."""
        raised: list[BaseException] = []

        def a_pass() -> None:
            try:
                self.tick()
            except BaseException as e:
                raised.append(e)
                raise

        thread = threading.Thread(target=a_pass)
        with gate.shut():
            thread.start()
            assert gate.entered.wait(PATIENCE_S), "the pass asks"
            yield
        thread.join()
        assert not raised
        assert not gate.kept_too_long, "the command waited for the pass"


@pytest.fixture
def home(
    tmp_path: Path,
    lowtide: Callable[..., Any],
    database: dict[str, str],
    serve: Callable[..., SourceServer],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Home]:
    # What the command itself would ask says nothing of use, and notes that it was asked.
    server = serve(lambda _: Reply(status=500))
    for name, value in database.items():
        monkeypatch.setenv(name, value)
    made = Home(tmp_path, dict(os.environ), server)
    yield made
    made.ctx.close()


@pytest.mark.parametrize("slow", ["source", "executor"])
def test_a_reader_waits_neither_for_a_source_nor_for_an_engine(
    home: Home, lowtide: Callable[..., Any], slow: str
) -> None:
    with home.during_a_pass(getattr(home, slow).gate):
        for name, argv in READERS.items():
            done = lowtide(*home.words(*argv))
            assert done.code == 0, (name, done.err)
    assert not home.server.asked


def test_a_reader_waits_neither_for_a_writer_nor_for_a_lock(
    home: Home, lowtide: Callable[..., Any]
) -> None:
    files = home.config.home
    with (
        home.ctx.store.together(),
        held(files / "tick.lock") as mine,
        held(files / "asking.lock") as also_mine,
    ):
        home.ctx.store.beats.beat("a write that is not committed", home.clock.now)
        assert (mine, also_mine) == (True, True)
        for name, argv in READERS.items():
            done = lowtide(*home.words(*argv))
            assert done.code == 0, (name, done.err)


def test_readers_change_nothing(home: Home, lowtide: Callable[..., Any]) -> None:
    stories = {name: home.ctx.store.jobs.events(job_id) for name, job_id in home.ids.items()}
    for argv in READERS.values():
        lowtide(*home.words(*argv))
    assert stories == {n: home.ctx.store.jobs.events(job_id) for n, job_id in home.ids.items()}


def test_what_a_receipt_says_is_shown_before_a_pass_records_it(
    home: Home, lowtide: Callable[..., Any]
) -> None:
    job_id, at = home.ids["RUNNING"], home.clock.now.timestamp()
    receipt = Receipt(job_id, 1, "exited", at - 3600, at - 60, 3, None, 0.0)
    folder = home.ctx.runs.attempt(job_id, 1)
    journal.write_json(folder / "receipt.json", asdict(receipt))
    jobs = {job["job_id"]: job for job in lowtide("status", "--json").json["jobs"]}
    assert (jobs[job_id]["state"], jobs[job_id]["reason"]) == ("failed", "exit code 3")
    (report,) = lowtide("report", job_id, "--json").json["jobs"]
    assert report["state"] == "failed"
    since = lowtide("report", "--since", "2h", "--json").json
    assert since["totals"]["jobs"] >= 1
    assert home.state("RUNNING").active, "nothing was written"


def test_cancel_stops_a_running_job_while_a_source_is_slow(
    home: Home, lowtide: Callable[..., Any]
) -> None:
    with home.during_a_pass(home.source.gate):
        assert lowtide("cancel", home.ids["WAITING"]).code == 0
        assert home.state("WAITING") is JobState.CANCELLED
        engine.cancel(home.ctx, home.ids["RUNNING"], home.clock.now)
        assert home.executor.stopped, "the engine has been asked to stop it"


def test_cancel_leaves_its_wish_to_the_pass_that_is_at_a_slow_engine(
    home: Home, lowtide: Callable[..., Any]
) -> None:
    with home.during_a_pass(home.executor.gate):
        done = lowtide("cancel", home.ids["RUNNING"], home.ids["WAITING"])
        assert done.code == 0
        assert f"is at work (process {os.getpid()}, since 20" in done.err
        assert "that pass or the next one stops the job" in done.err
        assert home.ctx.store.jobs.get(home.ids["RUNNING"]).cancel_requested
        assert home.state("WAITING") is JobState.CANCELLED
    home.tick()
    home.tick()
    assert home.state("RUNNING") is JobState.CANCELLED


@pytest.mark.parametrize("slow", ["source", "executor"])
def test_submit_waits_for_no_pass(home: Home, lowtide: Callable[..., Any], slow: str) -> None:
    with home.during_a_pass(getattr(home, slow).gate):
        done = lowtide("submit", "--duration", "1h", "--deadline", "9h", "--json", "--", "true")
        assert done.code == 0, done.err
        assert done.json["plan"]["forecast"]["source"] == "fake", "what a source said before"
    assert bool(home.server.asked) == (slow == "executor"), "one process asks at a time"


def test_a_job_that_is_due_starts_before_a_slow_source_answers(home: Home) -> None:
    home.clock.now -= timedelta(seconds=20)
    due = home.submit("true")
    home.clock.now += timedelta(seconds=20)
    with home.during_a_pass(home.source.gate):
        assert home.ctx.store.jobs.get(due).state.active


def test_a_second_pass_does_what_is_due_while_the_first_one_asks(home: Home) -> None:
    with home.during_a_pass(home.source.gate):
        due = home.submit("true", start_by="5s")
        home.clock.advance(seconds=10)
        home.tick()
        assert home.ctx.store.jobs.get(due).state.active


def test_a_tick_beside_a_pass_that_is_at_its_engines_says_so(
    home: Home, lowtide: Callable[..., Any]
) -> None:
    with home.during_a_pass(home.executor.gate):
        done = lowtide("tick")
        assert (done.code, done.out) == (0, "")
        assert "another pass" in done.err
        with pytest.raises(BusyError):
            home.tick()

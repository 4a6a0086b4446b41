"""A source of a third party that never answers costs its own answer: no pass, no other source."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from providers import registry
from providers.errors import NoData, Unavailable
from scheduler import config, engine
from scheduler.engine import Context
from scheduler.engine.patience import Patient
from scheduler.models import JobState
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from providers.series import Series
    from scheduler.models import JobSpec

HOUR = timedelta(hours=1)
SETTINGS = """
refresh: 60s
regions:
  a: {zone: DE, executor: fake, slots: 2, providers: [stuck]}
  b: {zone: FR, executor: fake, slots: 2, providers: [sound]}
"""


class Silent(FakeProvider):
    """Answers once it is let."""

    def __init__(self, start: datetime, name: str = "stuck") -> None:
        super().__init__(start, {"DE": [100.0] * 240, "FR": [50.0] * 240}, name=name)
        self.let = Event()

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        self.asked.append((zone, start, end))
        self.let.wait()
        return self._series(zone, start, end, now)


@pytest.fixture
def silent(now: datetime) -> Iterator[Silent]:
    made = Silent(now)
    yield made
    made.let.set()


def test_a_question_ends_and_none_is_asked_before_the_last_one_has(
    silent: Silent, now: datetime
) -> None:
    source = Patient(silent)
    source.limit_s = 0.05
    with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"):
        source.forecast("DE", now, now + HOUR, now)
    with pytest.raises(Unavailable, match="still at an earlier question"):
        source.forecast("DE", now, now + HOUR, now)
    assert len(silent.asked) == 1
    silent.let.set()
    assert source._left is not None
    source._left.join()
    assert len(source.forecast("DE", now, now + HOUR, now)) == 1
    assert len(silent.asked) == 2


def test_what_a_source_raises_or_answers_is_what_is_raised_or_answered(now: datetime) -> None:
    plain = FakeProvider(now, {"DE": [100.0]}, actuals=True)
    source = Patient(plain)
    assert (source.info, source.zones()) == (plain.info, plain.zones())
    assert source.actual("DE", now, now + HOUR) == plain.actual("DE", now, now + HOUR)
    for error in (NoData("none"), KeyError("odd"), TimeoutError("slow"), SystemExit(3)):
        plain.fails = error  # type: ignore[assignment]
        with pytest.raises(type(error)) as raised:
            source.forecast("DE", now, now + HOUR, now)
        assert raised.value is error


def test_a_plugin_that_never_returns_holds_up_no_pass(
    tmp_path: Path,
    now: datetime,
    make_spec: Callable[..., JobSpec],
    silent: Silent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Patient, "limit_s", 0.05)
    sound = Silent(now, "sound")
    sound.let.set()
    plugins: dict[str, Any] = {"stuck": silent, "sound": sound}
    monkeypatch.setattr(registry, "targets", lambda _: dict.fromkeys(plugins, "of:another"))
    monkeypatch.setattr(registry, "load", lambda _, name: lambda *_: plugins[name])
    (tmp_path / "config.yaml").write_text(SETTINGS)
    clock = FixedClock(now)
    ctx = Context.open(
        config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path),
        now,
        executors={"fake": FakeExecutor(clock=clock, run_s=60)},
    )
    for place in "ab":
        ctx.runs.keep_environment(place * 8, {})
        spec = make_spec(regions=(place,), home=place, origin=ctx.here.origin)
        ctx.store.jobs.add(place * 8, spec, clock.now)
    for minutes in (0, 1, 5):
        clock.advance(minutes=minutes)
        engine.tick(ctx, clock.now, clock.now + timedelta(seconds=10))
    assert ctx.store.jobs.get("b" * 8).state is JobState.SUCCEEDED
    waiting = ctx.store.jobs.get("a" * 8).plan
    assert waiting is not None
    assert any("stuck did not answer" in why for why in waiting.nulls.values())
    assert len(silent.asked) == 1
    ctx.close()

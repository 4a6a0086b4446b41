"""Readers beside passes that ask eight sources of six seconds each, against a home at rest."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.testing import FakeExecutor, FakeProvider, FixedClock

if TYPE_CHECKING:
    from pathlib import Path

    from providers.series import Series

pytestmark = pytest.mark.benchmark

SOURCES, ANSWER_S, AIM_X, ROUNDS = 8, 6.0, 1.2, 7
SETTINGS = "refresh: 1s\nproviders: [s0]\nsources:\n" + "".join(
    f'  s{i}: {{type: energy_charts, base_url: "http://127.0.0.1:9"}}\n' for i in range(SOURCES)
)
SETTINGS += "regions:\n" + "".join(
    f"  r{i}: {{zone: DE, providers: [s{i}], executor: local, slots: 8}}\n" for i in range(SOURCES)
)
READERS = (("status",), ("show", "ID"), ("why", "ID"), ("logs", "ID"), ("report",))


@dataclass
class Slow(FakeProvider):
    """Takes its time, once it is told to."""

    answer_s: float = 0.0

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        time.sleep(self.answer_s)
        return super().forecast(zone, start, end, now)


def test_readers_beside_slow_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("home: r0\n" + SETTINGS)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    environ |= {"LOWTIDE_HOME": str(tmp_path / "home")}
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    sources = {f"s{i}": Slow(hour, {"DE": [100.0 + i] * 120}, name=f"s{i}") for i in range(SOURCES)}
    ctx = Context.open(
        config.load(None, environ, tmp_path),
        now,
        sources=sources,
        executors={"local": FakeExecutor(clock=FixedClock(now))},
        environ=environ,
    )
    ids = [_submit(ctx, f"r{i}", tmp_path, now) for i in range(SOURCES)]
    over, passes = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            engine.tick(ctx, datetime.now(UTC))
            passes.append(time.monotonic())

    took_s: dict[str, list[list[float]]] = {argv[0]: [[], []] for argv in READERS}
    thread = threading.Thread(target=look)
    for during in (False, True):
        if during:
            for source in sources.values():
                source.answer_s = ANSWER_S
            thread.start()
        for round_ in range(ROUNDS + 1):
            for argv in READERS:
                words = [ids[0] if word == "ID" else word for word in argv]
                begun = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "scheduler", *words],
                    cwd=tmp_path,
                    env=environ,
                    capture_output=True,
                    check=True,
                )
                if round_:
                    took_s[argv[0]][during].append(time.perf_counter() - begun)
    over.set()
    thread.join()
    ctx.close()
    with capsys.disabled():
        print(f"\nbeside passes over {SOURCES} sources of {ANSWER_S:g} s, {len(passes)} in all:")
        for name, (idle, beside) in took_s.items():
            rest_s, pass_s = statistics.median(idle), statistics.median(beside)
            print(
                f"lowtide {name}: {1000 * pass_s:.0f} ms, at rest {1000 * rest_s:.0f} ms: "
                f"{pass_s / rest_s:.2f} x, aim at most {AIM_X} x"
            )


def _submit(ctx: Context, region: str, folder: Path, now: datetime) -> str:
    request = Request(
        argv=("true",), duration="1h", earliest="5h", deadline="20h", region=(region,), home=region
    )
    user = ctx.here.origin.account
    spec = submission.to_spec(request, ctx.config, now, user, folder, need_duration=True)
    return engine.submit(ctx, request, spec, {}, now)[0]

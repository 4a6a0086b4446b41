"""``track()`` around what runs later than its call, and across the cells of a notebook."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from scheduler.meter import Run, track

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def burn(seconds: float = 0.2) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def cpu_s(run: Run) -> float:
    return run._read().samples[-1].cpu_s


def test_a_coroutine_is_metered_while_it_is_awaited() -> None:
    runs: list[Run] = []

    @track(then=runs.append)
    async def work(times: int) -> str:
        for _ in range(times):
            await asyncio.sleep(0)
            burn()
        return "done"

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work(2)) == "done"
    (run,) = runs
    assert cpu_s(run) >= 0.4


def test_a_generator_is_metered_until_it_is_exhausted_or_closed() -> None:
    runs: list[Run] = []

    @track(then=runs.append)
    def work() -> Generator[int, str, str]:
        burn()
        said = yield 1
        burn()
        yield len(said)
        return "done"

    values = work()
    assert not runs
    assert next(values) == 1
    assert values.send("four") == 4
    with pytest.raises(StopIteration, match="done"):
        next(values)
    closed = work()
    next(closed)
    closed.close()
    whole, part = runs
    assert cpu_s(whole) >= 0.4
    assert cpu_s(part) >= 0.2
    assert part.report().job.state == "succeeded"


def test_an_asynchronous_generator_passes_on_what_is_sent_and_thrown() -> None:
    runs: list[Run] = []

    @track(then=runs.append)
    async def work() -> AsyncGenerator[object, object]:
        burn()
        said = yield "first"
        try:
            yield said
        except KeyError as e:
            yield e

    async def go() -> None:
        values = work()
        assert await values.asend(None) == "first"
        assert await values.asend("sent") == "sent"
        thrown = KeyError("x")
        assert await values.athrow(thrown) is thrown
        with pytest.raises(StopAsyncIteration):
            await anext(values)
        closed = work()
        await anext(closed)
        await closed.aclose()
        failed = work()
        await anext(failed)
        with pytest.raises(KeyError):
            await failed.athrow(KeyError("y"))

    asyncio.run(go())
    assert len(runs) == 2
    assert all(cpu_s(run) >= 0.2 for run in runs)


def test_a_run_starts_in_one_cell_and_stops_in_another() -> None:
    runs: list[Run] = []
    tracker = track(zone="DE", then=runs.append)
    assert tracker.stop() is None
    first = tracker.start()
    burn()
    second = tracker.start()  # the cell was run again
    assert runs == [first]
    assert tracker.stop() is second
    second.stop()
    tracker.stop()
    assert runs == [first, second]
    assert cpu_s(first) >= 0.2
    assert second.report().operational_g is not None


def test_what_waits_for_the_run_gets_it_once_and_not_in_a_forked_child(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def note(run: Run) -> None:
        with calls.open("a") as f:
            f.write(f"{os.getpid()}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads
        with track(then=note):
            child = os.fork()
        if child == 0:
            os._exit(0)
    os.waitpid(child, 0)
    assert calls.read_text() == f"{os.getpid()}\n"


def test_what_failed_is_not_handed_on() -> None:
    runs: list[Run] = []
    with pytest.raises(KeyError), track(then=runs.append) as run:
        raise KeyError
    assert not runs
    assert run.report().job.state == "failed"

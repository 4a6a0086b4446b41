"""What is concluded of an attempt from its folder and from what an engine says, or does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from providers.base import Launch
from providers.errors import ExecutorError
from providers.executors.folder import FolderExecutor, Look
from providers.runner import asking, journal
from providers.runner.asking import Asked
from providers.runner.pausing import PAUSE, RESUME
from providers.runner.record import Clock

TERM = 15


class Played(FolderExecutor):
    """An engine that says what it is told to, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now)
        self.says: Look | Exception | None = None
        self.done: list[str] = []

    def slots(self) -> int:
        return 1

    def submit(self, launch: Launch) -> None:
        self.done.append("submit")

    def look(self, launch: Launch) -> Look | None:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def cancel(self, launch: Launch) -> None:
        self.done.append("cancel")


@pytest.fixture
def engine() -> Played:
    return Played()


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    (tmp_path / "env.json").write_text(json.dumps({"PATH": os.environ["PATH"]}))
    return Launch(
        "j", 1, f"token of {tmp_path}", ("sleep", "600"), str(tmp_path), str(tmp_path / "run"),
        str(tmp_path / "env.json"), str(tmp_path / "units"), str(tmp_path), "x", 1,
        meters=("model",), pause_signal="stop",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("says", "phase"),
    [
        (None, "absent"),
        (Look("refused", "no room"), "absent"),
        (Look("waiting"), "waiting"),
        (Look("running"), "waiting"),
        (ExecutorError("silent"), "waiting"),
        (Look("ended", "failed"), "waiting"),  # for a while: the folder may lag behind
    ],
)
def test_before_it_began(
    engine: Played, launch: Launch, says: Look | Exception | None, phase: str
) -> None:
    engine.start(launch)
    engine.says = says
    for _ in range(2):
        assert engine.poll(Path(launch.run_dir), launch.token).phase == phase


@pytest.mark.parametrize(
    ("says", "phase"),
    [
        (None, "gone"),
        (Look("waiting"), "running"),
        (Look("running"), "running"),
        (ExecutorError("silent"), "running"),
        (Look("ended", "failed"), "gone"),
        (Look("refused"), "gone"),
    ],
)
def test_once_it_has_begun(
    engine: Played, launch: Launch, says: Look | Exception | None, phase: str
) -> None:
    engine.start(launch)
    folder = Path(launch.run_dir)
    journal.claim(folder / "started", {"at": 900.0, "pid": 1})
    engine.says = says
    assert engine.poll(folder, launch.token).phase == "running"
    engine.now += 61
    state = engine.poll(folder, launch.token)
    assert (state.phase, state.started_at) == (phase, 900.0)


def test_it_is_submitted_again_only_where_the_engine_has_nothing_of_it(
    engine: Played, launch: Launch
) -> None:
    for says, count in (
        (None, 1), (Look("waiting"), 1), (Look("ended"), 1), (Look("refused"), 2), (None, 3),
    ):  # fmt: skip
        engine.says = says
        engine.start(launch)
        assert engine.done == ["submit"] * count
    journal.claim(Path(launch.run_dir) / "started", {"at": 1.0})
    engine.start(launch)
    assert engine.done == ["submit"] * 3
    engine.says = ExecutorError("silent")
    other = Launch(**{**_fields(launch), "run_dir": launch.run_dir + "-2"})
    with pytest.raises(ExecutorError, match="silent"):
        engine.start(other)
    assert engine.done == ["submit"] * 3


def _fields(launch: Launch) -> dict[str, object]:
    return {name: getattr(launch, name) for name in Launch.__slots__}


def test_a_runner_that_does_not_listen_is_ended_by_the_engine(
    engine: Played, launch: Launch
) -> None:
    engine.start(launch)
    folder = Path(launch.run_dir)
    journal.claim(folder / "started", {"at": 900.0, "pid": 1})
    engine.says = Look("running")
    for after_s, done in ((0, 1), (50, 1), (100, 2)):
        engine.now = 1000.0 + after_s
        engine.stop(folder, launch.token, 10.0)
        assert len(engine.done) == done
    assert engine.done[-1] == "cancel"
    asked = journal.read_json(folder / "asked.json")
    assert asked == {"pause": False, "stop_at": 1000.0}


def test_a_folder_that_cannot_be_used_is_an_error_of_ours(engine: Played, launch: Launch) -> None:
    Path(launch.run_dir).write_text("a file")
    with pytest.raises(ExecutorError, match="cannot be used"):
        engine.start(launch)
    assert engine.move(launch, 0.0) is False
    assert engine.assignable_gpus() == (0, 0)


def test_what_is_newly_wanted_is_told_once_in_order(tmp_path: Path) -> None:
    clock = Clock()
    assert Asked(tmp_path, clock).look_at is None
    asking.listen(tmp_path)
    asked = Asked(tmp_path, clock)

    def told() -> tuple[int, ...]:
        asked.look_at = 0.0
        return asked.look()

    assert told() == ()
    asking.pause(tmp_path, True)
    assert (told(), told()) == ((PAUSE,), ())
    (tmp_path / "asked.json").write_text('{"pau')
    assert told() == ()
    asking.pause(tmp_path, False)
    assert (told(), told()) == ((RESUME,), ())
    assert asking.stop(tmp_path, 5.0) == asking.stop(tmp_path, 9.0) == 5.0
    asking.pause(tmp_path, True)
    assert (told(), told()) == ((PAUSE, TERM), (TERM,))
    assert asked.look() == ()  # not due yet


def test_an_orphan_is_found_stopped_and_let_go_on(engine: Played, launch: Launch) -> None:
    engine.start(launch)
    folder = Path(launch.run_dir)
    journal.claim(folder / "started", {"at": 900.0, "pid": 1})
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={"LOWTIDE_RUN": launch.token},
    )
    try:
        engine.says = Look("ended", "failed")
        engine.poll(folder, launch.token)
        engine.now += 61
        state = engine.poll(folder, launch.token)
        assert (state.phase, str(left.pid) in state.detail) == ("orphaned", True)
        left.send_signal(19)
        engine.resume(folder, launch.token)
        engine.stop(folder, launch.token, 5.0)
        assert left.wait(10) == -TERM
    finally:
        left.kill()
        left.wait()
    assert engine.poll(folder, launch.token).phase == "gone"
    assert "cancel" not in engine.done

"""Home or database put away or replaced under those who have them open."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import PATIENCE_S, Bench

from providers.runner import journal, proc
from scheduler import address, config, daemon, engine
from scheduler.engine import Context
from scheduler.errors import StoreReplaced, StoreUnavailable
from scheduler.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime


def _take_home_away(home: Path) -> None:
    home.rename(home.with_name("away"))


def _take_database_away(home: Path) -> None:
    (home / "lowtide.db").rename(home / "away.db")


def _put_a_copy_of_home_in_its_place(home: Path) -> None:
    shutil.copytree(home, home.with_name("copy"))
    _take_home_away(home)
    home.with_name("copy").rename(home)


def _delete_home_and_make_another(home: Path) -> None:
    shutil.rmtree(home)
    home.mkdir()


def _put_a_copy_of_the_database_in_its_place(home: Path) -> None:
    shutil.copy(home / "lowtide.db", home / "copy.db")
    (home / "copy.db").replace(home / "lowtide.db")


@pytest.mark.parametrize(
    ("act", "error", "said"),
    [
        (_take_home_away, StoreUnavailable, "home was taken away"),
        (_take_database_away, StoreUnavailable, "lowtide.db was taken away"),
        (_put_a_copy_of_home_in_its_place, StoreReplaced, "was replaced by another"),
        (_delete_home_and_make_another, StoreReplaced, "was replaced by another"),
        (_put_a_copy_of_the_database_in_its_place, StoreReplaced, "was replaced by another"),
    ],
)
def test_what_is_taken_away_or_replaced_is_noticed(
    tmp_path: Path, now: datetime, act: Callable[[Path], None], error: type[Exception], said: str
) -> None:
    store = Store(tmp_path / "home", now)
    store.refuse_replaced()
    act(tmp_path / "home")
    with pytest.raises(error, match=said):
        store.refuse_replaced()
    store.close()


def test_a_pass_over_what_was_replaced_does_nothing(desk: Any, tmp_path: Path) -> None:
    job_id = desk.submit()
    _put_a_copy_of_home_in_its_place(tmp_path / "home")
    with pytest.raises(StoreReplaced):
        desk.tick(hours=1)
    assert desk.executor.launches == {}
    assert desk.job(job_id).attempt == 0


def test_what_is_put_back_is_the_same(tmp_path: Path, now: datetime) -> None:
    home = tmp_path / "home"
    store = Store(home, now)
    _take_home_away(home)
    with pytest.raises(StoreUnavailable):
        store.refuse_replaced()
    home.with_name("away").rename(home)
    store.refuse_replaced()
    store.close()


def test_a_home_without_the_database_in_it_is_watched_too(
    tmp_path: Path, now: datetime, database: dict[str, str]
) -> None:
    url = database.get("LOWTIDE_DATABASE", "sqlite:///queue.db")
    store = Store(tmp_path / "home", now, address.parse(url, tmp_path))
    store.refuse_replaced()
    _delete_home_and_make_another(tmp_path / "home")
    with pytest.raises(StoreReplaced):
        store.refuse_replaced()
    store.close()


def test_the_daemon_changes_over_to_the_home_that_was_put_in_place(
    tmp_path: Path, now: datetime, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "config.yaml").write_text("tick: 1s\nregions: {local: {zone: DE}}\n")
    loaded = config.load(None, {"LOWTIDE_HOME": "home"}, tmp_path)
    opened: list[Context] = []

    @contextmanager
    def opening() -> Iterator[Context]:
        if not opened:
            # The first time it is not there yet, as a server of a database may be.
            opened.append(None)  # type: ignore[arg-type]
            raise StoreUnavailable("it does not answer")
        context = Context.open(loaded, now, asks=False)
        opened.append(context)
        yield context
        context.close()

    def tick(context: Any, *times: datetime, plain: Any = engine.tick) -> Any:
        due = plain(context, *times)
        if len(opened) == 2:
            _put_a_copy_of_home_in_its_place(tmp_path / "home")
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        return due

    monkeypatch.setattr(daemon.engine, "tick", tick)
    monkeypatch.setattr(daemon, "AGAIN", daemon.AGAIN / 100)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # Should it never end by itself, the test ends and fails.
    patience = threading.Timer(PATIENCE_S, os.kill, (os.getpid(), signal.SIGINT))
    patience.start()
    try:
        daemon.run(opening)
    finally:
        patience.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert len(opened) == 3
    said = capsys.readouterr().err.splitlines()
    assert "it does not answer" in said[0]
    assert "goes on again" in said[1]
    assert "was replaced by another; changing over" in said[2]
    assert str(os.getpid()) in (tmp_path / "home" / "daemon.lock").read_text()


# --- runners ------------------------------------------------------------------------------


def _gone(pid: int) -> bool:
    found = proc.stat(pid)
    return found is None or found.state == "Z"


@pytest.mark.parametrize("limit", [None, 60.0])
def test_a_runner_whose_folder_was_deleted_lets_its_job_compute_on(
    tmp_path: Path, limit: float | None
) -> None:
    bench = Bench(tmp_path / "home")
    bench.root.mkdir()
    go = tmp_path / "go"
    script = 'until [ -e "$0" ]; do sleep 0.05; done; : >"$0.over"'
    launch = bench.start("sh", "-c", script, str(go), cwd=str(tmp_path), time_limit_s=limit)
    started, first = (Path(launch.run_dir) / name for name in ("started", "process.json"))
    bench.until(lambda: journal.read_json(first) is not None)
    runner = (journal.read_json(started) or {})["pid"]
    # It writes meanwhile: a folder may fill up again before it is gone.
    bench.until(lambda: shutil.rmtree(bench.root, ignore_errors=True) or not bench.root.exists())
    if limit is None:
        bench.until(lambda: _gone(runner))
    assert len(proc.marked(launch.token)) >= 1, "its job is left alone"
    go.touch()
    bench.until((tmp_path / "go.over").exists)
    bench.until(lambda: _gone(runner))
    assert not bench.root.exists()


def test_a_receipt_goes_with_a_folder_that_was_moved(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "home")
    bench.root.mkdir()
    go = tmp_path / "go"
    script = 'until [ -e "$0" ]; do sleep 0.05; done; exit 3'
    launch = bench.start("sh", "-c", script, str(go), cwd=str(tmp_path))
    run_dir = Path(launch.run_dir)
    bench.until((run_dir / "process.json").exists)
    bench.root.rename(tmp_path / "moved")
    go.touch()
    moved = tmp_path / "moved" / run_dir.name
    bench.until(lambda: journal.read_receipt(moved) is not None)
    receipt = journal.read_receipt(moved)
    assert receipt is not None
    assert receipt.exit_code == 3

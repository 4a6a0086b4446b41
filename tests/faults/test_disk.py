"""A home on a disk that is full for a while, or may not be written for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support import aftermath, mounts
from support.fleet import Fleet, until
from support.witness import watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

TICK_S = 1
CONFIG = f"""
tick: {TICK_S}s
regions:
  local: {{zone: DE, slots: 64}}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A home on a small file system of its own; marks and the daemon's log lie elsewhere."""
    (tmp_path / "marks").mkdir()
    with mounts.tmpfs(tmp_path / "h0", size_mb=6):
        made = Fleet(tmp_path, CONFIG, {})
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize(
    ("spoiled", "word", "code"),
    [(mounts.full, "room", 5), (mounts.read_only, "read-only", 3)],
    ids=["full", "read-only"],
)
def test_no_job_is_lost_and_what_was_refused_has_left_nothing(
    fleet: Fleet, spoiled: Callable[[Path], AbstractContextManager[None]], word: str, code: int
) -> None:
    home, marks, daemon = fleet.folder / "h0", fleet.folder / "marks", fleet.up(0)
    wait = f"until [ -e {fleet.folder}/%s ]; do sleep 0.05; done"
    # One that ends meanwhile, one that ends later, one whose start falls due meanwhile.
    ends = fleet.submit(*aftermath.marking(marks, wait % "now"))
    goes_on = fleet.submit(*aftermath.marking(marks, wait % "later"))
    with watching(home) as seen:
        seen.until("running", ends, goes_on)
    due = fleet.submit(*aftermath.marking(marks), options=("--earliest", "8s", "--start-by", "9s"))
    fallen_due = datetime.now(UTC) + timedelta(seconds=9 + 2 * TICK_S)
    with spoiled(home):
        (fleet.folder / "now").touch()
        until(lambda: aftermath.read_marks(marks)[ends][-1].kind == "end")
        refused = fleet.run("submit", "--duration", "1s", "--", "true", code=code)
        assert refused.stderr.count("\n") == 1, refused
        assert word in refused.stderr.lower()
        until(lambda: word in fleet.log(0).lower())
        until(lambda: datetime.now(UTC) > fallen_due)
        assert due not in aftermath.read_marks(marks)
    (fleet.folder / "later").touch()
    with watching(home) as seen:
        seen.until_over()
        aftermath.assert_aftermath(seen.store, marks, {ends, goes_on, due})
        assert [str(job.state) for job in seen.store.jobs.find()] == ["succeeded"] * 3
    until(lambda: "goes on again" in fleet.log(0))
    assert daemon.poll() is None
    assert "Traceback" not in fleet.log(0)
    assert len(list((home / "runs").iterdir())) == 3

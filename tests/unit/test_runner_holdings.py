"""What all jobs of a user hold of one machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from providers.runner import holdings
from providers.runner.holdings import Holdings


def test_living_jobs_count_and_dead_ones_are_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "held"
    mine = Holdings(2, place)
    assert mine.total() == 2
    parent = holdings.proc.identify(os.getppid())
    assert parent is not None
    (place / f"{parent.pid}-{parent.start_ticks}-3-0").touch()
    (place / f"{parent.pid}-{parent.start_ticks + 1}-50-0").touch()
    (place / "rubbish").touch()
    assert mine.total() == 5
    assert not (place / f"{parent.pid}-{parent.start_ticks + 1}-50-0").exists()
    mine.close()
    assert len(list(place.iterdir())) == 2
    mine.close()


def test_one_process_may_meter_more_than_one(tmp_path: Path) -> None:
    one, other = Holdings(2, tmp_path), Holdings(2, tmp_path)
    assert one.total() == other.total() == 4
    one.close()
    assert other.total() == 2


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "held"
    place.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    assert Holdings(2, place).total() == 2
    assert list(place.iterdir()) == []
    assert holdings.folder().name.endswith(str(place.stat().st_uid + 1))


def test_without_a_folder_a_job_knows_only_its_own(tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    one = Holdings(4, tmp_path / "held")
    assert one.total() == 4
    one.close()
    lost = Holdings(4, tmp_path / "other")
    for left in (tmp_path / "other").iterdir():
        left.unlink()
    (tmp_path / "other").rmdir()
    assert lost.total() == 4

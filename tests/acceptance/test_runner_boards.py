"""Boards from the command line to the report, with a driver that is played: real runners."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.attempt import ROOT, run_attempt

from providers.executors import local
from scheduler.testing.boards import FakeBoard
from scheduler.testing.nvml import FakeNvml, plug

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HANG = 'nvml = FakeNvml([FakeBoard("GPU-a", 300.0)], clock, hangs_when={flag!r}, hangs_s={hang})'


def test_the_board_that_was_assigned_is_the_one_that_is_metered(tmp_path: Path) -> None:
    setup = 'nvml = FakeNvml([FakeBoard("GPU-a", 50.0), FakeBoard("GPU-b", 300.0)], clock)'
    receipt, found = run_attempt(
        tmp_path, setup, "sh", "-c", "env | grep CUDA | sort; sleep 2", gpus=("GPU-b",)
    )
    assert (tmp_path / "run" / "stdout.log").read_text().splitlines() == [
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES=GPU-b",
    ]
    assert [(c.name, c.method) for c in found.components] == [("gpu:GPU-b", "measured")]
    last = found.samples[-1].readings[0]
    assert last.energy_j.value / last.covered_s == pytest.approx(300, rel=0.05)
    # The command runs for two seconds; what a busy machine adds at either end is not its own.
    assert 1.5 < last.covered_s <= receipt.ended_at - receipt.started_at + 0.5
    assert last.facts["power_limit_w"] == 400
    # The command only sleeps: where others keep the machine busy meanwhile, there is a hint.
    assert not [note for note in found.notes if "other processes of this machine" not in note]


def test_a_driver_that_hangs_for_ten_seconds_harms_no_job_and_leaves_a_partial_record(
    tmp_path: Path,
) -> None:
    flag = tmp_path / "flag"
    receipt, found = run_attempt(
        tmp_path,
        HANG.format(flag=str(flag), hang=10.0),
        *("sh", "-c", f"sleep 1.5; touch {flag}; sleep 3; echo done"),
        gpus=("GPU-a",),
    )
    assert (receipt.reason, receipt.exit_code) == ("exited", 0)
    assert receipt.ended_at - flag.stat().st_mtime < 10  # it was over before the driver answered
    assert (tmp_path / "run" / "stdout.log").read_text() == "done\n"
    last = found.samples[-1].readings[0]
    assert 0 < last.covered_s < receipt.ended_at - receipt.started_at - 2
    assert "NVML did not answer" in "".join(found.notes)


def test_what_a_counter_counted_while_the_driver_hung_is_told_later(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    receipt, found = run_attempt(
        tmp_path,
        HANG.format(flag=str(flag), hang=2.5),
        *("sh", "-c", f"sleep 1; touch {flag}; sleep 6"),
        gpus=("GPU-a",),
    )
    last = found.samples[-1].readings[0]
    assert 6.5 < last.covered_s <= receipt.ended_at - receipt.started_at + 0.5
    assert last.energy_j.value / last.covered_s == pytest.approx(300, rel=0.05)
    assert "NVML did not answer" in "".join(found.notes)


def test_a_job_gets_a_free_board_and_its_report_tells_what_that_drew(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Names of its own: who holds a board is seen in all processes, also in those of other tests.
    plug(
        tmp_path / "plugged",
        'nvml = FakeNvml([FakeBoard("GPU-in-use", 50.0), FakeBoard("GPU-at-rest", 300.0)], clock)',
    )
    monkeypatch.setattr(local, "PACKAGES", os.pathsep.join((str(tmp_path / "plugged"), str(ROOT))))
    boards = [FakeBoard("GPU-in-use", pids={1: 0}), FakeBoard("GPU-at-rest")]
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(boards))
    (tmp_path / "config.yaml").write_text("regions:\n  local: {zone: DE}\n")
    ran = lowtide(
        "run", "--gpus", "1", "--now", "--duration", "3s", "--power", "300W",
        "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 3",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "GPU-at-rest" in ran.out
    (report,) = lowtide("report", "--json").json["jobs"]
    board = next(c for c in report["components"] if c["name"] == "gpu:GPU-at-rest")
    assert board["method"] == "measured"
    assert 0.5 < board["energy_kwh"]["value"] * 3.6e6 / (3 * 300) < 2
    assert board["facts"]["power_limit_w"] == 400
    assert any("short for a board's" in note for note in report["notes"])

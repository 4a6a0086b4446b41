"""``lowtide meter`` on a machine with two boards, with a driver that is played."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scheduler.testing.boards import FakeBoard
from scheduler.testing.nvml import FakeNvml, plug

if TYPE_CHECKING:
    from collections.abc import Callable

LOWTIDE = str(Path(sys.executable).with_name("lowtide"))
PATIENCE_S = 180.0


class Machine:
    """Two boards of names of their own: who holds a board is seen in all processes.

    What writes its pid into ``on_b`` computes on the second one.
    """

    def __init__(self, root: Path) -> None:
        run = secrets.token_hex(4)
        self.a, self.b, self.on_b = f"GPU-a-{run}", f"GPU-b-{run}", root / "on-b"
        plug(
            root / "plugged",
            f"nvml = FakeNvml([FakeBoard({self.a!r}, 50.0),"
            f" FakeBoard({self.b!r}, 300.0, pids_in={str(self.on_b)!r})], clock)",
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE", "CUDA"))}
        self.root = root
        self.env = kept | {
            "LOWTIDE_HOME": str(root / "home"), "PYTHONPATH": str(root / "plugged"),
        }  # fmt: skip

    def start(self, *argv: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [LOWTIDE, "meter", "--json", *argv],
            cwd=self.root,
            env=self.env | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def meter(self, *argv: str, **variables: str) -> tuple[dict[str, Any], str]:
        """The report, and what the command wrote."""
        started = self.start(*argv, **variables)
        out, err = started.communicate(timeout=PATIENCE_S)
        assert started.returncode == 0, err
        return json.loads(out), err


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def boards(report: dict[str, Any]) -> dict[str, str]:
    """Method by board."""
    rows = [c for c in report["components"] if c["name"].startswith("gpu:")]
    return {c["name"].removeprefix("gpu:"): c["method"] for c in rows}


ON_B = ("sh", "-c", "echo $$ > on-b; sleep 3")


def test_a_board_that_was_not_named_is_metered_where_the_command_is_seen(machine: Machine) -> None:
    report, _ = machine.meter("--zone", "DE", "--", *ON_B)
    assert boards(report) == {machine.b: "measured"}
    (row,) = [c for c in report["components"] if c["name"].startswith("gpu:")]
    assert 0.3 < row["energy_kwh"]["value"] * 3.6e6 / (3 * 300) < 2
    assert any("no board was named" in note for note in report["notes"])


def test_a_command_without_boards_has_no_row_of_one(machine: Machine) -> None:
    report, _ = machine.meter("--", "sleep", "1.5")
    assert boards(report) == {}
    assert not any("gpu" in note.lower() for note in report["notes"])


@pytest.mark.parametrize("mask", ["1", "GPU-b"])
def test_a_mask_is_the_allocation_and_stays_as_it_is(machine: Machine, mask: str) -> None:
    said = ("sh", "-c", "echo mask=$CUDA_VISIBLE_DEVICES; sleep 1")
    report, err = machine.meter("--", *said, CUDA_VISIBLE_DEVICES=mask)
    assert boards(report) == {machine.b: "measured"}
    assert f"mask={mask}\n" in err


def test_boards_asked_for_are_those_of_the_mask(machine: Machine) -> None:
    said = ("sh", "-c", "echo mask=$CUDA_VISIBLE_DEVICES; sleep 1")
    report, err = machine.meter("--gpus", "1", "--", *said, CUDA_VISIBLE_DEVICES=machine.b)
    assert f"mask={machine.b}\n" in err
    assert boards(report) == {machine.b: "measured"}
    refused = machine.start("--gpus", "2", "--", "true", CUDA_VISIBLE_DEVICES=machine.b)
    _, err = refused.communicate(timeout=PATIENCE_S)
    assert refused.returncode == 2
    assert f"1 free GPU(s) are among those of CUDA_VISIBLE_DEVICES={machine.b}" in err


def test_two_at_once_get_two_boards(machine: Machine) -> None:
    both = [machine.start("--gpus", "1", "--", "sleep", "2") for _ in range(2)]
    reports = [json.loads(each.communicate(timeout=PATIENCE_S)[0]) for each in both]
    found = [*boards(reports[0]), *boards(reports[1])]
    assert sorted(found) == [machine.a, machine.b]


def test_what_computes_on_another_board_than_its_own_is_said_and_metered(
    machine: Machine,
) -> None:
    report, _ = machine.meter("--", *ON_B, CUDA_VISIBLE_DEVICES=machine.a)
    assert boards(report) == {machine.a: "measured", machine.b: "measured"}
    assert any(machine.b in n and "not among the boards" in n for n in report["notes"])


def test_doctor_names_a_board_that_cannot_be_read(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FakeNvml([FakeBoard("GPU-a"), FakeBoard("GPU-b", lost=True)])
    monkeypatch.setitem(sys.modules, "pynvml", made)
    checks = lowtide("doctor", "--json").json["checks"]
    assert [(c["ok"], c["detail"]) for c in checks if c["check"] == "meter nvml"] == [
        (True, "2 NVIDIA board(s)"), (False, "board 1 cannot be read: GPU is lost"),
    ]  # fmt: skip

"""The example job keeps its promise: stop it at any moment, run it again, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example trains with scikit-learn")

TRAIN = Path(__file__).parents[2] / "examples" / "train_digits.py"
EPOCHS = 4


def _train(folder: Path, *argv: str) -> subprocess.Popen[str]:
    """Start the training; checkpoint ``c.pkl`` and units file ``units`` stand in ``folder``."""
    return subprocess.Popen(
        [sys.executable, TRAIN, "--epochs", str(EPOCHS), "--checkpoint", folder / "c.pkl", *argv],
        env=os.environ | {"OMP_NUM_THREADS": "1", "LOWTIDE_UNITS": str(folder / "units")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _to_end(child: subprocess.Popen[str]) -> list[str]:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return out.splitlines()


def _units(folder: Path) -> str:
    return (folder / "units").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder and the lines of a training that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, _to_end(_train(folder))


def test_a_stopped_and_continued_run_ends_as_an_unbroken_one(
    whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """SIGTERM keeps the checkpoint; the rest is trained later, each epoch counted once."""
    _, unbroken = whole
    first = _train(tmp_path, "--min-seconds", "60")
    assert first.stdout is not None
    assert first.stdout.readline() == f"0 of {EPOCHS} epochs are done\n"
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 75, err
    assert out.endswith("stopped after epoch 1; run again to go on\n")
    assert _units(tmp_path) == "epochs=1\n"

    continued = _to_end(_train(tmp_path))
    assert continued == [f"1 of {EPOCHS} epochs are done", *unbroken[2:]]
    assert _units(tmp_path) == "epochs=1\n" * EPOCHS
    assert {p.name for p in tmp_path.iterdir()} == {"c.pkl", "units"}


def test_a_finished_training_is_not_trained_again(whole: tuple[Path, list[str]]) -> None:
    """Nothing is counted twice, and the accuracy is told again."""
    folder, first = whole
    again = _to_end(_train(folder))
    assert again == [f"{EPOCHS} of {EPOCHS} epochs are done", first[-1]]
    word, accuracy, rest = again[-1].split(" ", 2)
    assert (word, rest) == ("accuracy", f"after {EPOCHS} epochs")
    assert float(accuracy) > 0.85
    assert _units(folder) == "epochs=1\n" * EPOCHS

"""Train a model on scikit-learn's digits; stop it at any moment and run it again to go on.

Every epoch ends with a checkpoint (the model and its number of epochs) that is renamed into
place, so a stop never leaves half of one; a run that was stopped and went on ends with the
same accuracy as an unbroken one. SIGTERM ends the epoch early, keeps it, and exits 75 ("run
me again"), so lowtide can pause it. The checkpoint is ``digits.ckpt`` in the folder named by
LOWTIDE_RUN_DIR, which all attempts at a job share, or else in the current folder.
Units of work go to the file named by LOWTIDE_UNITS.
"""

import argparse
import os
import pickle
import signal
import sys
import time
from pathlib import Path

stopping: list[int] = []
# Before the slow imports: a pause may come at any moment.
signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

CHECKPOINTED = os.EX_TEMPFAIL  # 75
FOLDER = Path(os.environ.get("LOWTIDE_RUN_DIR", "."))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--checkpoint", type=Path, default=FOLDER / "digits.ckpt")
    options.add_argument("--min-seconds", type=float, default=0.0, help="lengthen each epoch")
    args = options.parse_args()

    pixels, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels / 16.0, digits, test_size=0.25, random_state=0, stratify=digits
    )
    model, done = load(args.checkpoint)
    print(f"{done} of {args.epochs} epochs are done", flush=True)
    for epoch in range(done, args.epochs):
        begun = time.monotonic()
        # The order of an epoch depends on its number alone, so that a resumed run is the same.
        order = np.random.default_rng(epoch).permutation(len(train_x))
        model.partial_fit(train_x[order], train_y[order], classes=np.arange(10))
        accuracy = model.score(test_x, test_y)
        while time.monotonic() - begun < args.min_seconds and not stopping:
            model.predict(train_x)
        save(args.checkpoint, model, epoch + 1)
        count_epoch()
        print(f"epoch {epoch + 1}/{args.epochs}: accuracy {accuracy:.4f}", flush=True)
        if stopping and epoch + 1 < args.epochs:
            print(f"stopped after epoch {epoch + 1}; run again to go on", flush=True)
            sys.exit(CHECKPOINTED)
    print(f"accuracy {model.score(test_x, test_y):.4f} after {args.epochs} epochs")


def load(checkpoint: Path) -> tuple[SGDClassifier, int]:
    """The model and the number of epochs that it has behind it."""
    if not checkpoint.exists():
        return SGDClassifier(loss="log_loss", random_state=0), 0
    with checkpoint.open("rb") as f:
        return pickle.load(f)


def save(checkpoint: Path, model: SGDClassifier, epochs: int) -> None:
    """Write beside, then rename: the checkpoint is whole or the old one."""
    temporary = checkpoint.with_name(checkpoint.name + ".tmp")
    with temporary.open("wb") as f:
        pickle.dump((model, epochs), f)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(checkpoint)


def count_epoch() -> None:
    """One more unit of work, if somebody counts."""
    path = os.environ.get("LOWTIDE_UNITS")
    if path:
        with Path(path).open("a") as f:
            f.write("epochs=1\n")


if __name__ == "__main__":
    main()

"""Search two objectives at once with Optuna: accuracy on scikit-learn's digits, and energy.

Each trial is a job of its own under lowtide: the same file with ``--train``, which writes its
accuracy as ``metric.accuracy=...`` to the file named by LOWTIDE_UNITS. The energy is the reserved
energy of ``lowtide report ID --json``. Printed are the trials that no other beats in both, and
``lowtide compare`` of the whole sweep.

    python examples/optuna_digits.py --trials 20
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

LOWTIDE = Path(sys.executable).with_name("lowtide")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--trials", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--group", default=f"optuna-digits-{time.time():.0f}")
    options.add_argument("--train", metavar="JSON", help="train one model with these parameters")
    args = options.parse_args()
    if args.train is not None:
        train(**json.loads(args.train))
    else:
        search(args.trials, args.seed, args.group)


def search(trials: int, seed: int, group: str) -> None:
    """Let Optuna choose the parameters of ``trials`` jobs, and print what nothing beats."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=seed)
    )
    study.optimize(lambda trial: objective(trial, group), n_trials=trials)
    print(f"front: {len(study.best_trials)} of {trials} trials")
    for best in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        accuracy, kwh = best.values
        job, parameters = best.user_attrs["job_id"], json.dumps(best.params)
        print(f"{job}  accuracy {accuracy:.4f}  {kwh * 1e6:.3f} mWh  {parameters}")
    if trials > 1:
        print(lowtide("compare", "--group", group, "--by", "accuracy").stdout)


def objective(trial, group: str) -> tuple[float, float]:
    """Accuracy and kWh of one job."""
    parameters = {
        "units": trial.suggest_int("units", 4, 128, log=True),
        "epochs": trial.suggest_int("epochs", 2, 40, log=True),
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
    }
    command = [sys.executable, __file__, "--train", json.dumps(parameters)]
    asked = ["--group", group, "--name", f"trial-{trial.number}", "--unit", "epochs"]
    ran = lowtide("run", "--now", *asked, "--", *command)
    # The first line of its talk is the job's id, the last one of the training its accuracy.
    job, accuracy = ran.stderr.split()[0], float(ran.stdout.split()[-1])
    report = json.loads(lowtide("report", job, "--json").stdout)["jobs"][0]
    energy = report["energy_kwh"]["reserved"]
    if energy is None:
        sys.exit(f"{job} has no energy: {report['null_reasons']['energy_kwh.reserved']}")
    trial.set_user_attr("job_id", job)
    return accuracy, energy["value"]


def train(units: int, epochs: int, rate: float) -> None:
    """Train a network of one hidden layer; count the epochs, tell the accuracy."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    pixels, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels / 16.0, digits, test_size=0.25, random_state=0, stratify=digits
    )
    model = MLPClassifier((units,), learning_rate_init=rate, random_state=0)
    for _ in range(epochs):
        model.partial_fit(train_x, train_y, classes=np.arange(10))
        accuracy = model.score(test_x, test_y)
        tell("epochs=1", f"metric.accuracy={accuracy}")
    print(f"accuracy {accuracy}")


def tell(*lines: str) -> None:
    """Units of work and metrics, if somebody counts."""
    path = os.environ.get("LOWTIDE_UNITS")
    if path:
        with Path(path).open("a") as f:
            f.writelines(f"{line}\n" for line in lines)


def lowtide(*argv: str) -> subprocess.CompletedProcess[str]:
    # One thread a library: the job holds one slot.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [str(LOWTIDE), *argv], env=os.environ | threads, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"lowtide {argv[0]} ended with {done.returncode}: {done.stderr}")
    return done


if __name__ == "__main__":
    main()

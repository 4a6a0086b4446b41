"""What the rule on forecast error costs and spares, on the forecaster's own bands.

lowtide delays a job only where that saves at least half of what the later window's band is wider
above. Beside it stand no rule at all (the cheapest window that is foretold) and one that asks for
all of it, on one year of eight zones: the share of the possible saving that is captured, how many
delays ended worse than a start at once would have, and by how much of all run-now emissions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers import registry
from providers.surroundings import Surroundings
from scheduler.backtest.replay import replay
from scheduler.backtest.run import hourly_of
from scheduler.planner.window import ERROR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scheduler.backtest.replay import Replay

pytestmark = pytest.mark.benchmark
CELLS = tuple((job, slack) for job in (1, 4, 12, 24) for slack in (24, 96))
# Rule: the share of the wider band that a delay must save; None: no rule.
RULES = {"no rule": None, "lowtide": ERROR, "twice as strict": 2 * ERROR}


def _means(hours: NDArray[np.float64], job: int, slack: int) -> NDArray[np.float64]:
    sums = np.cumsum(np.pad(hours[:, : job + slack], ((0, 0), (1, 0))), axis=1)
    return np.asarray((sums[:, job:] - sums[:, :-job]) / job)


def _starts(found: Replay, rule: float | None, job: int, slack: int) -> NDArray[np.int64]:
    """The start (h after the issue) that each issue leads to."""
    value, high = (_means(x, job, slack) for x in (found.value, found.high))
    best = value.argmin(axis=1)
    if rule is None:
        return best
    rows, above = np.arange(len(best)), high - value
    wider = above[rows, best] - above[:, 0]
    return np.where(value[:, 0] - value[rows, best] >= rule * wider, best, 0)


def test_what_the_rule_costs_and_spares(shared: Callable[[str], Path]) -> None:
    path = shared("traces/em-cloud-2021-2022.csv.gz")
    source = registry.load("intensity", "trace")({"path": str(path)}, Surroundings.at(path.parent))
    span = [datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2022, 2023)]
    replays = []
    for zone in source.in_order():
        found = replay(*hourly_of(source.whole(zone)), *span)
        assert found is not None
        replays.append(found)
    print("\njob/slack h: share captured %, delays that ended worse % (by % of run-now)")
    shares: dict[str, list[float]] = {name: [] for name in RULES}
    losses: dict[str, list[float]] = {name: [] for name in RULES}
    for job, slack in CELLS:
        cells = []
        for name, rule in RULES.items():
            saved, best, worse, delayed, lost = [], [], 0, 0, []
            for found in replays:
                came = _means(found.actual, job, slack)
                at = _starts(found, rule, job, slack)
                now, chosen = came[:, 0], came[np.arange(len(came)), at]
                saved.append(100 * (now - chosen).sum() / now.sum())
                best.append(100 * (now - came.min(axis=1)).sum() / now.sum())
                worse += int((chosen > now).sum())
                delayed += int((at > 0).sum())
                lost.append(100 * np.maximum(chosen - now, 0).sum() / now.sum())
            shares[name].append(100 * float(np.mean(saved)) / float(np.mean(best)))
            part = 100 * worse / max(delayed, 1)
            cells.append(f"{name} {shares[name][-1]:5.1f} {part:5.1f} ({np.mean(lost):.2f})")
            losses[name].append(float(np.mean(lost)))
        print(f"{job:>2}/{slack}:  " + "   ".join(cells))
    for name in RULES:
        print(f"{name}: captured {np.mean(shares[name]):.1f} %, lost {np.mean(losses[name]):.2f} %")
    # It costs little of what is captured, and spares much of what bad delays lose.
    assert np.mean(shares["lowtide"]) > np.mean(shares["no rule"]) - 2
    assert np.mean(losses["lowtide"]) < 0.7 * np.mean(losses["no rule"])

"""What past runs of a group say of its next run: a cautious duration and a mean power."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.base import Triple
from scheduler.models import Power
from scheduler.quantities import duration as in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

# Standard deviation of the logarithm of repeated runs, before any of this group was seen: they
# took from 28 % less to 41 % more than their mean on a Cray XE (Bhatele et al., "There goes the
# neighborhood", SC '13, doi 10.1145/2503210.2503247), read as two deviations to either side.
PRIOR_SPREAD = math.log(1.41 / 0.72) / 4


@dataclass(frozen=True, slots=True)
class PastRun:
    """A successful run: how long it took, and its mean power where every held part was read."""

    duration_s: float
    watts: Triple | None
    slots: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What ``n`` past runs say: the next one stays below ``value`` with chance ``quantile``.

    ``low`` and ``high`` are the smallest and the largest run seen; units are those of the runs.
    """

    value: float
    low: float
    high: float
    n: int
    quantile: float
    detail: str


def duration(durations_s: Sequence[float], quantile: float, group: str) -> Learned | None:
    """The :func:`upper_bound` of past durations in whole seconds, up; None without any."""
    if not durations_s:
        return None
    value, n = math.ceil(upper_bound(durations_s, quantile)), len(durations_s)
    median = statistics.median(durations_s)
    detail = (
        f"the {100 * quantile:g} % bound of {n} {_runs(n)} of group {group}: {in_words(value)} "
        f"(median {in_words(median)})"
    )
    return Learned(value, min(durations_s), max(durations_s), n, quantile, detail)


def power(watts: Sequence[Triple], group: str) -> Power | None:
    """The mean of past mean powers, between the lowest and the highest bound of any run.

    Whatever the distribution, a further run lies in the range of ``n`` with chance
    (n - 1) / (n + 1) (Wilks 1941). None without any run.
    """
    if not watts:
        return None
    # The exact mean, rounded once: a sum of floats could leave the range of equal runs.
    mean = statistics.mean(w.value for w in watts)
    figure = Triple(min(w.low for w in watts), mean, max(w.high for w in watts))
    n = len(watts)
    return Power(figure, "history", f"the mean of {n} metered {_runs(n)} of group {group}")


def upper_bound(values: Sequence[float], quantile: float) -> float:
    """A figure that the next of these positive values stays below with chance ``quantile``.

    From n >= q / (1 - q) values on (9 for q = 0.9) it is the k-th smallest, k = ceil((n + 1) q):
    free of any distribution, and towards the empirical quantile as n grows (Hahn and Meeker,
    Statistical Intervals, 1991, chapter 5). Fewer values cannot bound it so; then it is the
    largest of them, or the log-normal prediction bound where that lies higher,
    exp(m + t(q, n) s sqrt(1 + 1 / n)), with m the mean of the logarithms and
    s^2 = (:data:`PRIOR_SPREAD`^2 + sum of squares) / n: the posterior predictive of a normal
    with a flat prior on its mean and a scaled inverse chi-squared one of a single degree of
    freedom on its variance (Gelman et al., Bayesian Data Analysis, 3rd ed., chapter 3).
    """
    ordered, n = sorted(values), len(values)
    rank = math.ceil(round((n + 1) * quantile, 9))  # 9.000000000000002 is the 9th
    if rank <= n:
        return ordered[rank - 1]
    logs = [math.log(v) for v in ordered]
    mean = math.fsum(logs) / n
    squares = math.fsum((x - mean) ** 2 for x in logs)
    spread = math.sqrt((PRIOR_SPREAD**2 + squares) / n)
    bound = math.exp(mean + student_t(quantile, n) * spread * math.sqrt(1 + 1 / n))
    return max(bound, ordered[-1])


def student_t(quantile: float, df: int) -> float:
    """Student's t that ``df`` degrees of freedom stay below with chance ``quantile`` >= 0.5."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # halvings: beyond the resolution of a float
        middle = (low + high) / 2
        if _central(middle, df) < 2 * quantile - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _central(angle: float, df: int) -> float:
    """P(abs(t) <= sqrt(df) tan(angle)), Abramowitz and Stegun 26.7.3 and 26.7.4."""
    odd = df % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(2 + odd, df + 1, 2):
        total += term
        term *= (k - 1) / k * math.cos(angle) ** 2
    inner = math.sin(angle) * total
    return 2 / math.pi * (angle + inner) if odd else inner


def _runs(n: int) -> str:
    return "run" if n == 1 else "runs"

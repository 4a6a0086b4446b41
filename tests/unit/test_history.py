"""What past runs say: cautious with few, free of any distribution with many."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from providers.base import Triple
from scheduler.engine import learning
from scheduler.engine import power as powers
from scheduler.models import JobSpec
from scheduler.planner import history
from scheduler.planner.history import PastRun


@pytest.mark.parametrize(
    ("quantile", "df", "published"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
    [
        (0.90, 1, 3.078),
        (0.90, 2, 1.886),
        (0.90, 8, 1.397),
        (0.95, 3, 2.353),
        (0.99, 7, 2.998),
        (0.975, 30, 2.042),
        (0.99, 50, 2.403),
        (0.5, 4, 0.0),
    ],
)
def test_students_t_is_the_published_one(quantile: float, df: int, published: float) -> None:
    assert history.student_t(quantile, df) == pytest.approx(published, abs=5e-4)


def test_students_t_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for df in (1, 2, 3, 4, 9, 20, 51):
        for quantile in (0.6, 0.9, 0.98, 0.999):
            theirs = float(stats.t.ppf(quantile, df))
            assert history.student_t(quantile, df) == pytest.approx(theirs, rel=1e-9)


def test_equal_runs_make_the_bound_less_cautious_one_by_one() -> None:
    """By hand for one run: t(0.9, 1) = 3.078, spread 0.168, sqrt(2): a factor of 2.08."""
    factors = [history.upper_bound([60.0] * n, 0.9) / 60 for n in range(1, 11)]
    assert factors[0] == pytest.approx(math.exp(3.0777 * 0.16802 * math.sqrt(2)), rel=1e-3)
    assert factors == sorted(factors, reverse=True)
    assert factors[7] > 1.05
    assert factors[8:] == [1.0, 1.0], "nine runs bound the tenth with chance 0.9"


def test_with_enough_runs_the_bound_is_an_order_statistic() -> None:
    values = [float(v) for v in range(1, 50)]
    assert history.upper_bound(values, 0.9) == 45
    assert history.upper_bound(values[:19], 0.9) == 18


def test_few_runs_are_bounded_by_no_less_than_the_longest() -> None:
    skewed = [1e-6, *[100.0] * 7]
    assert history.upper_bound(skewed, 0.5) == 100
    assert history.upper_bound([1.0, 50.0], 0.7) >= 50


def test_what_was_learned_is_one_sentence() -> None:
    learned = history.duration([3600.0] * 9, 0.9, "nightly")
    assert learned is not None
    assert (learned.value, learned.low, learned.high, learned.n) == (3600, 3600, 3600, 9)
    said = "the 90 % bound of 9 runs of group nightly: 1h 00m (median 1h 00m)"
    assert learned.detail == said
    short = history.duration([1.2] * 9, 0.9, "nightly")
    assert short is not None
    assert (short.value, short.low) == (2, 1.2), "whole seconds, rounded up"
    assert history.duration([], 0.9, "nightly") is None


def test_learned_power_comes_after_declared_and_before_assumed(
    make_spec: Callable[..., JobSpec],
) -> None:
    runs = [PastRun(60, Triple(8, 10, 12), 1, 0), PastRun(60, Triple(19, 20, 21), 1, 0)]
    others = [PastRun(60, None, 1, 0), PastRun(60, Triple.exact(300), 8, 0)]
    learned = learning.power(make_spec(group="g"), [*runs, *others])
    expected = powers.expected(make_spec(learned_power=learned))
    assert expected.watts == Triple(8, 15, 21)
    assert (expected.source, expected.detail) == (
        "history",
        "the mean of 2 metered runs of group g",
    )
    assert powers.expected(make_spec(power_w=5, learned_power=learned)).source == "declared"
    assert learning.power(make_spec(group="g"), others[:1]) is None
    assert powers.expected(make_spec()).source == "assumed"

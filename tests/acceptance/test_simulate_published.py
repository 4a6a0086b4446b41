"""``simulate`` on a published workload: what it saves was computed by another program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).parents[3] / "shared"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the traces and job logs of shared/")
@pytest.mark.parametrize(
    ("log", "region", "window", "segments"),
    [
        ("next-workday", "GB", 6.657, 9.228),
        ("next-workday", "DE", 5.921, 8.040),
        ("semi-weekly", "GB", 14.852, 20.088),
        ("semi-weekly", "DE", 14.148, 18.481),
    ],
)
def test_the_optimum_of_a_published_workload_is_met(
    lowtide: Callable[..., Any], log: str, region: str, window: float, segments: float
) -> None:
    """The table of shared/workloads/README.md: made by another program."""
    files = (
        "--jobs", str(SHARED / "workloads" / f"lwa-{log}.csv"),
        "--trace", str(SHARED / "traces" / "lwa-2020-gb-de.csv.gz"),
    )  # fmt: skip
    for policy, saved in (("window", window), ("segments", segments)):
        result = lowtide("simulate", *files, "--region", region, "--policy", policy, "--json")
        assert result.json["jobs"] == 3387
        assert result.json["saved_percent"] == pytest.approx(saved, abs=0.01)

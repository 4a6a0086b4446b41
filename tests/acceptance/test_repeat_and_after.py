"""``submit --every`` and ``submit --after``, as a user sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERY = ("--duration", "1h", "--every", "0 2 * * *", "--within", "6h")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def zoned(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")


@pytest.mark.usefixtures("zoned")
def test_a_repeated_job_is_queued_listed_and_stopped(lowtide: Callable[..., Any]) -> None:
    done = lowtide("submit", *EVERY, "--tz", "UTC", "--name", "night", "--json", "--", "true")
    assert done.code == 0, done
    series = done.json["recurring"]
    assert set(series) == {"id", "name", "every", "tz", "within_s", "next"}
    assert (series["name"], series["every"], series["tz"]) == ("night", "0 2 * * *", "UTC")
    assert series["within_s"] == 6 * 3600
    start = _moment(done.json["plan"]["start"])
    next_night = _moment(series["next"])
    assert (next_night.hour, next_night.minute) == (2, 0)
    assert next_night - timedelta(days=1) <= start <= next_night - timedelta(hours=19)

    listed = lowtide("status", "--json").json
    assert listed["recurring"] == [series]
    assert [job["job_id"] for job in listed["jobs"]] == [done.json["job_id"]]
    assert series["id"] in lowtide("status").out
    assert series["id"] in lowtide("show", done.json["job_id"]).out

    stopped = lowtide("cancel", series["id"])
    assert stopped.code == 0, stopped
    assert "night repeats no more" in stopped.out
    listed = lowtide("status", "--json").json
    assert "recurring" not in listed
    assert [job["state"] for job in listed["jobs"]] == ["cancelled"]
    assert lowtide("cancel", series["id"]).code == 2


def test_a_repeated_job_says_its_series_and_zone(
    lowtide: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    done = lowtide("submit", *EVERY, "--", "true")
    assert done.code == 0, done
    assert "(0 2 * * *, Asia/Kolkata)" in done.err


def test_a_dry_run_of_a_repeated_job_queues_nothing(lowtide: Callable[..., Any]) -> None:
    done = lowtide("submit", *EVERY, "--tz", "UTC", "--dry-run", "--json", "--", "true")
    assert done.code == 0, done
    assert _moment(done.json["plan"]["start"]) > datetime.now(UTC)
    listed = lowtide("status", "--json").json
    assert listed["jobs"] == []
    assert "recurring" not in listed


def test_a_job_waits_for_another(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    first = lowtide("submit", "--duration", "1h", "--start-by", "1s", "--json", "--", "true").json
    (tmp_path / "job.yaml").write_text(f'after: ["{first["job_id"]}"]\nduration: 1h\n')
    done = lowtide("submit", "-f", "job.yaml", "--json", "--", "true")
    assert done.code == 0, done
    assert _moment(done.json["plan"]["start"]) >= _moment(first["plan"]["end"])
    short = ("--after", first["job_id"][:6], "--duration", "1h", "--deadline", "90m")
    refused = lowtide("submit", *short, "--", "true")
    assert refused.code == 2
    assert "at the earliest" in refused.err
    lowtide("cancel", first["job_id"])
    lowtide("tick")
    told = lowtide("why", done.json["job_id"]).out
    assert f"after {first['job_id']}, which is cancelled" in told


def test_only_submit_repeats_or_waits_for_others(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text('every: "0 2 * * *"\nwithin: 6h\nduration: 1h\n')
    for command in ("plan", "run", "wait"):
        refused = lowtide(command, "-f", "job.yaml", "--", "true")
        assert refused.code == 2
        assert "only `lowtide submit` can" in refused.err
    assert lowtide("submit", "-f", "job.yaml", "--", "true").code == 0

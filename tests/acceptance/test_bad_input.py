"""Bad input: one clear line, an exit code by class, and nothing lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR = ("--duration", "1h")
DAILY = (*HOUR, "--every", "0 2 * * *")
JOB = ("--", "true")


def _refused(result: Any, code: int, *said: str) -> None:
    assert result.code == code, result
    lines = [line for line in str(result.err).splitlines() if line]
    assert len(lines) == 1, lines
    for text in said:
        assert text in lines[0], (text, lines[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*HOUR, "--region", "aws:eu-nort-1"), "aws:eu-north-1"),
        ((*HOUR, "--home", "nowhere"), "nowhere"),
        ((*HOUR, "--deadline", "2099-13-01T00:00"), "not a time"),
        ((*HOUR, "--deadline", "2020-01-01T00:00Z"), "has passed"),
        ((*HOUR, "--deadline", "30m"), "the job ends at"),
        ((*HOUR, "--start-by", "1h", "--earliest", "2h"), "before the earliest start"),
        ((*HOUR, "--deadline", "soon"), "not a time"),
        (("--duration", "0s"), "above zero"),
        (("--duration", "-2h"), "invalid duration"),
        (("--duration", "90"), "90s or 90m"),
        ((*HOUR, "--min-saving", "5"), "5% or 500%"),
        ((*HOUR, "--weigh", "money=5"), "5% or 500%"),
        ((*HOUR, "--power", "0W"), "above zero"),
        ((*HOUR, "--power", "-5W"), "350W"),
        ((*HOUR, "--power", "5W", "--energy", "1kWh"), "not both"),
        ((*HOUR, "--slots", "0"), "--slots must be at least 1, not 0"),
        ((*HOUR, "--slots", "100000"), "slots"),
        ((*HOUR, "--gpus", "-1"), "--gpus"),
        ((*HOUR, "--retries", "-1"), "--retries must be at least 0, not -1"),
        ((*HOUR, "--min-saving", "150%"), "100%"),
        ((*HOUR, "--cwd", "no/such/folder"), "not a folder"),
        ((*HOUR, "--env", "LOWTIDE_TEST_UNSET"), "no such variable"),
        ((*HOUR, "--region", "aws:eu-north-1"), "no executor"),
        ((*HOUR, "--every", "0 2 * *", "--within", "6h"), "4 fields"),
        ((*HOUR, "--every", "", "--within", "6h"), "0 fields"),
        ((*HOUR, "--every", "0 2 * * 8", "--within", "6h"), "weekday"),
        ((*HOUR, "--every", "0 0 31 2 *", "--within", "6h"), "never comes"),
        ((*DAILY, "--within", "6h", "--tz", "Europe/Berln"), "did you mean 'Europe/Berlin'"),
        ((*DAILY, "--within", "30m"), "--duration"),
        ((*DAILY, "--within", "soon"), "invalid duration"),
        (DAILY, "--within"),
        ((*DAILY, "--within", "6h", "--deadline", "9h"), "--deadline"),
        ((*DAILY, "--within", "6h", "--start-by", "9h"), "--start-by"),
        ((*DAILY, "--within", "6h", "--earliest", "9h"), "--earliest"),
        ((*HOUR, "--within", "6h"), "--every"),
        ((*HOUR, "--tz", "UTC"), "--every"),
        ((*HOUR, "--after", "nosuch"), "nosuch"),
        ((), "--duration"),
        ((*HOUR, "--time-limit", "0s"), "above zero"),
    ],
)
def test_a_wrong_option_is_exit_2_and_queues_nothing(
    lowtide: Callable[..., Any], options: tuple[str, ...], said: str
) -> None:
    _refused(lowtide("submit", *options, *JOB), 2, said)
    assert lowtide("status", "--json", "--all").json["jobs"] == []


def test_a_missing_executable_is_exit_2(lowtide: Callable[..., Any]) -> None:
    _refused(lowtide("submit", *HOUR, "--", "no-such-program-here"), 2, "no-such-program-here")
    _refused(lowtide("submit", *HOUR), 2, "no command")


def test_plan_without_duration_is_exit_2(lowtide: Callable[..., Any]) -> None:
    _refused(lowtide("plan"), 2, "--duration")


def test_plan_works_where_nothing_can_run(lowtide: Callable[..., Any]) -> None:
    result = lowtide("plan", *HOUR, "--region", "aws:eu-north-1", "--json")
    assert result.code == 0
    assert result.json["plan"]["region"] == "aws:eu-north-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", "line 2"),
        ("regoins: {}\n", "did you mean 'regions'"),
        ("providers: [nonsense]\n", "nonsense"),
        ("timezone: Europe/Berln\n", "did you mean 'Europe/Berlin'"),
        ("regions: {local: {zone: DE, executor: slrum}}\n", "slrum"),
    ],
)
def test_a_wrong_config_is_exit_3(
    lowtide: Callable[..., Any], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "lowtide.yaml").write_text(text)
    _refused(lowtide("submit", *HOUR, *JOB), 3, said)


def test_a_wrong_job_file_is_exit_3(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("duraton: 2h\n")
    _refused(lowtide("submit", "-f", "job.yaml", *JOB), 3, "did you mean 'duration'")
    _refused(lowtide("submit", "-f", "absent.yaml", *JOB), 3, "absent.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("timestamp_utc,region\n2026-01-01T00:00Z,DE\n", "g_per_kwh"),
        (
            "timestamp_utc,region,g_per_kwh\n2026-01-01T01:00Z,DE,5\n2026-01-01T01:00Z,DE,5\n",
            "row 3",
        ),
        ("timestamp_utc,region,g_per_kwh\n2026-01-01T00:00Z,DE,x\n", "row 2"),
        ("timestamp_utc,region,g_per_kwh\n2026-01-01T00:00Z,FR,5\n2026-01-01T01:00Z,FR,5\n", "FR"),
    ],
)
def test_a_wrong_trace_without_fallback_is_exit_4(
    lowtide: Callable[..., Any], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "trace.csv").write_text(text)
    (tmp_path / "config.yaml").write_text(
        "providers: [mine]\nsources: {mine: {type: trace, path: trace.csv}}\n"
        "regions: {local: {zone: DE}}\n"
    )
    _refused(lowtide("submit", *HOUR, *JOB), 4, said)
    assert lowtide("status", "--json").json["jobs"] == []


def test_a_wrong_trace_with_a_fallback_is_said_and_planned_on(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "trace.csv").write_text("")
    (tmp_path / "config.yaml").write_text(
        "providers: [mine, climatology]\nsources: {mine: {type: trace, path: trace.csv}}\n"
        "regions: {local: {zone: DE}}\n"
    )
    result = lowtide("plan", *HOUR, "--json")
    assert result.code == 0
    made = result.json["plan"]
    assert "climatology" in made["forecast"]["source"]
    assert "trace.csv" in made["reason"]
    for _ in range(2):  # also when the answer is remembered
        made = lowtide("submit", *HOUR, "--json", *JOB).json["plan"]
        assert "trace.csv" in made["reason"]


@pytest.mark.parametrize(
    ("ago_h", "step", "said"),
    [(0, 5, "without a hole in DE"), (9000, 1, "has nothing from")],
)
def test_a_trace_of_too_little_is_an_outage_and_said(
    lowtide: Callable[..., Any], tmp_path: Path, ago_h: int, step: int, said: str
) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [now + timedelta(hours=h - ago_h) for h in range(60) if step == 1 or h % step != 2]
    rows = "".join(f"{at:%Y-%m-%dT%H:%MZ},DE,5\n" for at in hours)
    (tmp_path / "trace.csv").write_text("timestamp_utc,region,g_per_kwh\n" + rows)
    (tmp_path / "config.yaml").write_text(
        "providers: [mine]\nsources: {mine: {type: trace, path: trace.csv}}\n"
        "regions: {local: {zone: DE}}\n"
    )
    result = lowtide("submit", "--duration", "6h", "--json", *JOB)
    assert result.code == 0, result.err
    made = result.json["plan"]
    assert said in made["reason"]
    assert said in made["null_reasons"]["expected_g"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_home_is_exit_3(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    _refused(lowtide("status"), 3, "LOWTIDE_HOME")


def test_a_home_below_a_file_is_exit_3(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "file" / "home"))
    _refused(lowtide("status"), 3, "LOWTIDE_HOME")


def test_a_corrupt_database_is_exit_5_and_stays(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    rubbish = b"this is no database " * 400
    (tmp_path / "home" / "lowtide.db").write_bytes(rubbish)
    _refused(lowtide("status"), 5, "lowtide.db")
    assert (tmp_path / "home" / "lowtide.db").read_bytes() == rubbish


def test_an_unknown_command_or_option_is_exit_2(lowtide: Callable[..., Any]) -> None:
    _refused(lowtide("sumbit"), 2, "sumbit")
    _refused(lowtide("submit", "--duratoin", "2h"), 2, "--duratoin")
    _refused(lowtide("show", "nosuch"), 2, "nosuch")

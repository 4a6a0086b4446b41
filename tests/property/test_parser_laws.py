"""Whatever a file or a command holds: a value, or the project's own error in one line.

Arbitrary text, arbitrary bytes, and good documents with some of their words replaced, cut out or
doubled. What sources answer is tried with each source; sacct's rows in ``test_sacct_laws``.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from providers.base import Component, Launch, Reading, Receipt, Triple
from providers.errors import LONGEST, ExecutorError, LowtideError
from providers.executors.local import build as build_local
from providers.executors.slurm import batch, jobs
from providers.executors.slurm.commands import Commands
from providers.executors.slurm.handle import Handle
from providers.intensity import trace
from providers.intensity.points import MOST_G_PER_KWH
from providers.meters.replay import KIND as REPLAY
from providers.runner import journal
from providers.runner.runner import read_launch
from providers.runner.units import read_units
from providers.series import from_unix
from providers.surroundings import Surroundings
from scheduler import (
    address,
    checked,
    config,
    config_files,
    cron,
    quantities,
    sci,
    wall_clock,
    zones,
)
from scheduler.engine import submission
from scheduler.errors import UsageError
from scheduler.sci.energy import tally
from scheduler.simulate import knowledge, log, swf

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SEED = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# What breaks parsers: numbers beyond all bounds, times that are none, quotes, controls, nesting.
WORDS = st.sampled_from(
    [
        "", "0", "-1", "1e308", "1e999", "nan", "inf", "-inf", "9" * 400, "9" * 5000, "0x1f",
        "1_0", "null", "true", "~", "[]", "{}", "[" * 60, "{" * 60, "*a", "&a", "<<", "!!int x",
        "!!python/x", "'", '"', "\\", "\n", "\r", "\0", "\x1b[2J", "\u2028", "\ud7ff", ";", ",",
        "|", "=", "%", "#",
        "2026-13-45", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026-03-02T08:00:00",
        "-5h", "101y", "1h", "5%", "101%", "NaN%", "x" * 3000,
    ]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """A good document with up to four faults."""
    words = re.findall(r"\w+|\W", text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words) - 1)) if words else 0
        kind = draw(st.sampled_from(["replace", "insert", "cut", "double", "truncate"]))
        if kind == "replace":
            words[at : at + 1] = [draw(WORDS)]
        elif kind == "insert":
            words.insert(at, draw(WORDS))
        elif kind == "cut":
            del words[at : at + draw(st.integers(1, 8))]
        elif kind == "double":
            words[at:at] = words[at : at + draw(st.integers(1, 8))]
        else:
            words = words[: at + 1]
    return "".join(words).encode("utf-8")


def documents(text: str) -> st.SearchStrategy[bytes]:
    """Good ones gone wrong, any text, any bytes."""
    some = st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))
    return mutated(text) | mutated(text) | some | st.binary(max_size=200)


def one_line(error: Exception) -> None:
    assert str(error)
    assert "\n" not in str(error)
    assert len(str(error)) <= LONGEST


def read(content: bytes, parse: Callable[[Path], Any], name: str = "file") -> Any:
    """``parse`` of a file with this content; None where it is refused in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return parse(path)
        except LowtideError as e:
            one_line(e)
            return None


CONFIG = (Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8")
LIVELY = """
home: north
timezone: Europe/Berlin
database: {url: "postgresql://me@db/x", password_env: PW}
regions:
  north: {zone: SE-SE3, executor: slurm, engine: {partition: p}, slots: 4, price: {per_kwh: 0.3},
          hardware: {ccf_server: {memory_gb: 64}}, pue: {value: 1.2, source: told}}
  south: {zone: DE, lat: 1, lon: 2, country: DE, zones: {neso: x}, host: h, slots: 9,
          executor: local}
sources: {mine: {type: trace, path: trace.csv}}
executors: {slurm: {options: ["--nice=10"], setup: ["export A=1"]}}
providers: [mine, climatology]
defaults: {slack: 24h, min_saving: 5%, retries: 1}
grace: 10s
"""


@SEED
@given(documents(LIVELY) | documents(CONFIG))
@example(b"grace: .inf")
@example(b"tick: 1e300")
@example(b"a: &a [*a]")
def test_a_config_is_settings_or_an_error(content: bytes) -> None:
    def parse(path: Path) -> config.Config:
        return config.load(str(path), {"LOWTIDE_HOME": str(path.parent)}, path.parent)

    made = read(content, parse)
    if made is not None:
        assert all(0 < s < 1e10 for s in (made.settings.grace, made.settings.tick))
        assert all(isinstance(name, str) for name in made.key_variables)


JOB = """
argv: [python3, train.py, "--lr", "0.1"]
name: train
duration: 2h
deadline: 2026-03-05T08:00:00Z
power: 350W
region: [local]
slots: 1
gpus: 0
env: [A=b, "C=d e"]
pausable: true
resume-overhead: 3m
min_run: 20m
max-segments: 4
weigh: [money=0.05]
retries: 2
priority: 3
data: 40GB
"""
DEFAULTS = config.load(str(config_files.packaged()), {"LOWTIDE_HOME": "/nowhere"}, Path("/"))


@SEED
@given(documents(JOB))
@example(b"deadline: 2026-13-45")
@example(b'name: "\\ud800"')
@example(b"argv: 5\npower: 1e400W\nduration: 1h")
def test_a_job_file_is_a_job_or_an_error(content: bytes) -> None:
    def parse(path: Path) -> Any:
        request = submission.request_of(submission.from_file(path))
        spec = submission.to_spec(request, DEFAULTS, NOW, "me", path.parent, need_duration=True)
        return spec, submission.job_environment(request, {"PATH": "/bin"}, DEFAULTS)

    made = read(content, parse)
    if made is not None:
        spec, variables = made
        assert type(spec).model_validate_json(spec.model_dump_json()) == spec
        assert json.loads(json.dumps(variables)) == variables


TRACE = "timestamp_utc,region,g_per_kwh\n" + "".join(
    f"2026-03-02T{h:02d}:00Z,{zone},{300 + h}\n" for h in range(6) for zone in ("DE", "FR")
)


@SEED
@given(documents(TRACE))
def test_a_trace_is_a_series_or_an_error(content: bytes) -> None:
    def parse(path: Path) -> Any:
        source = trace.build({"path": path.name}, Surroundings.at(path.parent))
        return source.forecast("DE", NOW, NOW.replace(hour=12), NOW)

    made = read(content, parse, "trace.csv")
    assert made is None or ((made.g_per_kwh >= 0) & (made.g_per_kwh <= MOST_G_PER_KWH)).all()


PORTALS = (
    "Datetime (UTC),Zone id,Carbon intensity gCO₂eq/kWh (direct),Carbon intensity (LCA),"
    "Data estimated\n2021-01-01 00:00:00,SE,2.54,30.02,true\n2021-01-01 01:00:00,SE,,,\n",
    "datetime,actual,forecast,index\n2023-09-26T00:00Z,100,98,low\n2023-09-26T00:30Z,,97,low\n",
    "Date;What;Where\n2026-03-02 08:00;5;DE\n2026-03-02 09:00;6;DE\n",
)
CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        "factors": st.sampled_from(["direct", "lifecycle"]),
        "kind": st.sampled_from(["actual", "forecast"]),
        "zone": st.sampled_from(["DE", ""]),
        "columns": st.dictionaries(
            st.sampled_from(["time", "value", "region", "ends"]),
            st.sampled_from(["Date", "What", "Where", "datetime", ""]),
        ),
    },
)


@SEED
@given(st.sampled_from(PORTALS).flatmap(documents), CHOSEN)
def test_an_export_of_a_portal_is_series_or_an_error(
    content: bytes, chosen: dict[str, Any]
) -> None:
    def parse(path: Path) -> Any:
        source = trace.build({"path": path.name} | chosen, Surroundings.at(path.parent))
        return [(source.whole(zone), source.notes(zone)) for zone in source.in_order()]

    for series, notes in read(content, parse, "trace.csv") or ():
        assert len(series)
        assert ((series.g_per_kwh >= 0) & (series.g_per_kwh <= MOST_G_PER_KWH)).all()
        for note in notes:
            one_line(UsageError(note))


FORECAST = "issued_utc,target_utc,region,forecast_g_per_kwh\n" + "".join(
    f"2026-03-02T00:00Z,2026-03-02T{h:02d}:00Z,DE,{300 + h}\n" for h in range(6)
)


@SEED
@given(documents(FORECAST))
def test_a_file_of_forecasts_is_knowledge_or_an_error(content: bytes) -> None:
    def parse(path: Path) -> Any:
        recorded = path.with_name("trace.csv")
        recorded.write_text(TRACE)
        return knowledge.read(recorded, path, ["DE"])

    made = read(content, parse, "forecast.csv")
    for _, rows in made.issued if made is not None else ():
        for _, _, values in rows:
            assert not ((values < 0) | (values > MOST_G_PER_KWH)).any()


LOG = (
    "job_id,submitted_utc,duration_s,deadline_utc,slots,power_w,regions,pausable\n"
    "a,2026-05-01T06:00:00Z,3600,2026-05-02T06:00:00Z,2,150,DE;FR,1\n"
    "b,2026-05-01T06:00:00+02:00,60,2026-05-02T06:00:00Z,1,15,,0\n"
)


@SEED
@given(documents(LOG))
def test_a_job_log_is_jobs_or_an_error(content: bytes) -> None:
    for made in read(content, log.read_jobs) or ():
        assert made.duration_s > 0
        assert made.slots >= 1
        assert made.deadline_s > made.submitted_s


WORKLOAD = (
    "; UnixStartTime: 749458803\n1 0 -1 1460 128 -1 -1 -1 -1 -1 -1 1 1 -1 1 -1 -1 -1\n"
    "2 10 30 62.5 -1 -1 -1 32 -1 -1 1 1 1 1 -1 -1 -1\n"
)


@SEED
@given(documents(WORKLOAD))
@example(b"1 0 -1 1e5 1")
@example(b"1 999999999999 999999999999 999999999999 999999999999")
def test_a_workload_is_jobs_or_an_error(content: bytes) -> None:
    def parse(path: Path) -> Any:
        swf.is_swf(path)
        return swf.read_swf(path, None, 1e9, 60.0, 5.0).jobs

    made = read(content, parse)
    assert made is None or len({job.id for job in made}) == len(made) > 0
    for job in made or ():
        assert job.duration_s > 0
        assert job.slots >= 1
        assert job.deadline_s >= job.submitted_s + job.duration_s


# --- the run folder ---------------------------------------------------------------------------

CPU = Component("cpu", "modelled", "test", max_w=10.0)
RECEIPT = json.dumps(asdict(Receipt("j", 1, "exited", 1e9, 1e9 + 5, 0, None, 0.5)))
LAUNCH = json.dumps(
    asdict(Launch("j", 1, "t", ("true",), "/", "/r", "/e", "/u", "/w", "local", 1, gpus=("GPU-1",)))
)


def _journal() -> str:
    with tempfile.TemporaryDirectory() as folder:
        writer = journal.JournalWriter(Path(folder), (CPU,), {"interval_s": 1.0}, 1e9)
        for n in range(1, 4):
            drawn = Triple(n, n, n)
            writer.sample(1e9 + n, float(n), [Reading("cpu", drawn, drawn, float(n))])
        writer.tell({"attribution": {"counted_by": "wait4", "seen_cpu_s": 1.0, "cpu_s": 2.0},
                     "suspended_s": 0.0})  # fmt: skip
        writer.note("a note")
        writer.close()
        return (Path(folder) / journal.NAME).read_text()


JOURNAL = _journal()
IN_A_RUN_FOLDER = ("receipt.json", "started", "launch.json", "pauses.json", "launched.json",
                   "stop.json", "process.json")  # fmt: skip


# Of two readings the bounds of what came between cross, in the first increment and in the sum.
CROSSED = JOURNAL.partition("\n")[0] + "".join(
    f'\n{{"at":{at},"cpu_s":0,"read":[[0,{bounds},{bounds},1.0]]}}'
    for at, bounds in ((1, "0,5,5"), (2, "6,6,6"), (3, "7,7,7"))
)


@SEED
@given(documents(JOURNAL))
@example(CROSSED.encode())
def test_a_journal_is_an_energy_or_notes(content: bytes) -> None:
    def parse(path: Path) -> Any:
        found = journal.read_journal(path.parent)
        record = sci.AttemptRecord(from_unix(1e9), from_unix(1e9 + 5), 0, found)
        try:
            REPLAY.using(str(path)).open(None)  # type: ignore[arg-type]
        except OSError as e:
            one_line(e)
        return tally([record])

    energy = read(content, parse, journal.NAME)
    if energy.reserved_kwh is not None:
        assert 0 <= energy.reserved_kwh.low <= energy.reserved_kwh.high < float("inf")


@SEED
@given(documents(RECEIPT), st.sampled_from(IN_A_RUN_FOLDER))
@example(b'{"pid": Infinity, "start_ticks": 1, "boot_id": ""}', "started")
@example(b'{"at": NaN}', "started")
@example(b"[" * 5000, "receipt.json")
def test_whatever_lies_in_a_run_folder_is_a_state(content: bytes, name: str) -> None:
    def parse(path: Path) -> Any:
        (path.parent / "started").touch()
        return build_local({}, path.parent).poll(path.parent, "no-such-token")

    state = read(content, parse, name)
    for at in (state.started_at, state.receipt and state.receipt.ended_at):
        assert at is None or from_unix(at)


@SEED
@given(documents(LAUNCH))
def test_a_launch_is_one_or_an_error_that_the_executors_know(content: bytes) -> None:
    def parse(path: Path) -> Any:
        try:
            return read_launch(path.parent)
        except (OSError, ValueError, TypeError):
            return None

    read(content, parse, "launch.json")


@SEED
@given(documents("epochs=1\nmetric.accuracy=0.5\nparameters=7e9\n"))
def test_units_are_numbers(content: bytes) -> None:
    def parse(path: Path) -> Any:
        written = read_units(path)
        return sci.count(written.lines, written.part)

    work = read(content, parse)
    assert all(abs(v) < float("inf") for v in (work.units | work.metrics).values())
    assert all(name.isprintable() for name in work.units | work.metrics)


# --- what Slurm prints --------------------------------------------------------------------------

QUEUE = json.dumps(
    {"jobs": [{"job_id": 7, "job_state": ["PENDING"], "state_reason": "BeginTime",
               "comment": "lowtide:a", "start_time": {"set": True, "number": 1795554867},
               "end_time": 0, "exclusive": ["true"]}], "errors": []}
)  # fmt: skip
ACCOUNTED = json.dumps(
    {"jobs": [{"job_id": 7, "state": {"current": "COMPLETED", "reason": "None"},
               "time": {"start": 10, "end": 20}, "comment": {"job": "x"}, "steps": [
                   {"tres": {"consumed": {"total": [{"type": "energy", "count": 5}]}}}]}]}
)  # fmt: skip
SHOWN = "JobId=3 JobName=x JobState=RUNNING Reason=None Comment=lowtide:b \n"


class Printed(Commands):
    """Slurm whose every command prints this."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def run(self, *argv: str, stdin: str = "") -> str:
        return self.text


HANDLE = Handle("7", None, None, None, marks=("lowtide:a:1:token",))


@SEED
@given(
    documents(QUEUE) | documents(ACCOUNTED) | documents(SHOWN) | documents("17;grid2\n")
    | documents("4/0/0/4\n") | documents("se-n1 gpu:a100:4(S:0-1),gpu:2\n")
)  # fmt: skip
@example(b"")
@example(b"a/b/c/d")
@example(b'{"jobs": [{"job_id": "3_[1-9]", "comment": "lowtide:a"}]}')
def test_whatever_slurm_prints_is_a_value_or_an_error(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    said = Printed(text)
    asked: tuple[Callable[[], object], ...] = (
        lambda: jobs.parse_queue(text), lambda: jobs.parse_accounting(text),
        lambda: jobs.parse_lines(text), lambda: batch.parse_id(text), lambda: said.cpus(None),
        lambda: said.gpus(None), lambda: said.by_comment("lowtide:a"), lambda: said.job(HANDLE),
        lambda: said.accounted(HANDLE),
    )  # fmt: skip
    for ask in asked:
        with suppress(ExecutorError):
            ask()


# --- words ---------------------------------------------------------------------------------------


def read_moment(text: str) -> datetime:
    return wall_clock.moment(text, NOW, ZoneInfo("Europe/Berlin"))


PARSERS: tuple[Callable[[str], object], ...] = (
    quantities.duration_s, quantities.span_s, quantities.percent, quantities.power_w,
    quantities.energy_kwh, quantities.data_gb, read_moment, cron.parse,
    zones.checked, lambda t: address.parse(t, Path("/"))
)  # fmt: skip
GOOD = ("1d12h", "5%", "350W", "1.2kWh", "40GB", "2026-03-02T10:00+02:00",
        "*/5 0-3,5 1 jan mon-fri", "Europe/Berlin",
        "postgresql://me@h:5432/db?sslmode=require", "sqlite:///x.db")  # fmt: skip


@settings(max_examples=200)
@given(
    st.text(max_size=40) | st.sampled_from(GOOD).flatmap(mutated).map(lambda b: b.decode()),
    st.sampled_from(PARSERS),
)
@example("99999999999-01-01T00:00Z", PARSERS[6])
@example("\0", PARSERS[8])
@example("a" * 300, PARSERS[8])
@example("postgresql://[x", PARSERS[9])
def test_any_word_is_a_value_or_a_value_error_in_one_line(
    text: str, parse: Callable[[str], object]
) -> None:
    try:
        assert parse(text) is not None
    except ValueError as e:
        one_line(UsageError(f"--option: {e}"))


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/"])
def test_what_is_no_file_is_no_config(path: str) -> None:
    with pytest.raises(LowtideError, match=r"cannot be read|longer than|is a folder"):
        checked.read_yaml(Path(path))
    assert os.path.exists(path)  # noqa: PTH110

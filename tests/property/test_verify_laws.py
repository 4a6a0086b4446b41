"""A report follows from its evidence, and every change of a figure or a byte of it is detected."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from contextlib import suppress
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import verifying

from providers.base import Journal, JournalFile
from providers.journal import read
from scheduler.report import exports
from scheduler.report.schema.evidence import seal
from scheduler.report.verification import check, check_sums

REFEREE = Path(__file__).parents[2] / "examples" / "verify_report.py"
# So many changes; LOWTIDE_VERIFY_CHANGES=10000 takes some minutes.
CHANGES = int(os.environ.get("LOWTIDE_VERIFY_CHANGES", "60"))
# What the referee leaves to `lowtide verify`: how errors and a plan's deviation are split, and sums
# over jobs.
NOT_REFEREED = ("uncertainty", "planned_against_realized")
# Figures of a job that are computed; all others are inputs, which the seal covers.
COMPUTED = (
    "energy_kwh", "components", "measured_percent", "intensity", "pue", "operational_g",
    "embodied_g", "total_g", "sci_g_per_unit", "functional_units", "baseline_g", "saved_g",
    "saved_percent", "first_come", "uncertainty", "planned_against_realized", "attempts",
)  # fmt: skip


@pytest.fixture(scope="module")
def referee() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_report", REFEREE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _find(named: JournalFile) -> Journal | None:
    found = read(Path(named.path))
    return None if found.file is None else found


def _verdicts(document: dict[str, Any]) -> set[str]:
    checks = [check(report, _find) for report in document["jobs"]]
    sums = check_sums(document, checks)
    return {each.verdict for each in (*checks, sums) if each is not None}


def _refereed(referee: ModuleType, report: dict[str, Any]) -> list[str]:
    return list(referee.faults(copy.deepcopy(report), {}))


def _leaves(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all numbers."""
    if isinstance(content, bool) or content is None or isinstance(content, str):
        return []
    if isinstance(content, (int, float)):
        return [path]
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return [found for key, value in items for found in _leaves(value, (*path, key))]


def _changed(rng: Random, document: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """The document with one number changed by at least a millionth."""
    made = copy.deepcopy(document)
    at = made
    for key in path[:-1]:
        at = at[key]
    old = at[path[-1]]
    new = rng.choice([old * (1 + 10 ** rng.uniform(-6, 1)), -old, old + 1, 0, old * 10])
    at[path[-1]] = new if new != old else old + 1
    return made


@given(seed=st.integers(0, 10**9))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_settled_is_what_both_compute(
    seed: int, tmp_path_factory: pytest.TempPathFactory, referee: ModuleType
) -> None:
    document = verifying.document(Random(seed), tmp_path_factory.mktemp("runs"))
    jsonschema.validate(document, json.loads(exports.published("report")))
    assert _verdicts(document) == {"verified"}
    for report in document["jobs"]:
        assert _refereed(referee, report) == []


def test_every_change_of_a_figure_or_of_a_byte_of_a_journal_is_detected(
    tmp_path: Path, referee: ModuleType
) -> None:
    rng = Random(20260302)
    document = verifying.document(rng, tmp_path)
    paths = _leaves(document)
    journals = sorted(tmp_path.glob("*/journal.jsonl"))
    missed = []
    for _ in range(CHANGES):
        if rng.random() < 0.3:
            file = rng.choice(journals)
            whole = file.read_bytes()
            at, other = rng.randrange(len(whole)), bytes([rng.randrange(256)])
            cut = rng.choice([0, 1]) if other != whole[at : at + 1] else 0
            file.write_bytes(whole[:at] + other + whole[at + cut :])
            what, detected = f"{file} {at}", _verdicts(document) != {"verified"}
            one = document["jobs"][int(file.parent.name[0])]
            detected = detected and bool(_refereed(referee, one))
            file.write_bytes(whole)
        else:
            path = rng.choice(paths)
            made = _changed(rng, document, path)
            what, detected = str(path), _verdicts(made) != {"verified"}
            if path[0] == "jobs":
                # What it cannot compute with ends it with a traceback, and exit code 1.
                with suppress(ArithmeticError, LookupError, TypeError, ValueError):
                    detected = detected and bool(_refereed(referee, made["jobs"][path[1]]))
        if not detected:
            missed.append(what)
    assert missed == []


def test_a_changed_figure_with_a_new_seal_is_detected_by_recomputing_it(
    tmp_path: Path, referee: ModuleType
) -> None:
    """Who changes a figure can make a new seal: the figure then follows from no journal."""
    rng = Random(7)
    document = verifying.document(rng, tmp_path, jobs=1)
    inputs = (("functional_units", "count"),)
    paths = [
        p for p in _leaves(document["jobs"][0])
        if p[0] in COMPUTED and p[-1] != "exit_code" and (p[0], p[-1]) not in inputs
    ]  # fmt: skip
    assert {p[0] for p in paths} >= {"energy_kwh", "components", "saved_g", "first_come"}
    for path in paths:
        made = _changed(rng, document, ("jobs", 0, *path))
        report = made["jobs"][0]
        report["evidence"]["report_sha256"] = seal(report)
        found = check(report, _find)
        assert found.differences, path
        assert found.faults == ()
        if path[0] not in NOT_REFEREED:
            assert _refereed(referee, report), path

"""A report follows from its evidence, and every change of a figure or a byte of it is detected."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
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
# What the referee leaves to `lowtide verify`: how errors and a plan's deviation are split.
EXPLAINED = ("uncertainty", "planned_against_realized")
# Sums over jobs as well, and the version of the form is not of one job.
NOT_REFEREED = ("totals", "group", "schema_version")
# Figures of a job that are computed; all others are inputs, which the seal covers.
COMPUTED = (
    "energy_kwh", "components", "measured_percent", "intensity", "pue", "operational_g",
    "embodied_g", "total_g", "sci_g_per_unit", "functional_units", "baseline_g", "saved_g",
    "saved_percent", "first_come", "uncertainty", "planned_against_realized", "attempts",
    "hardware", "water",
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
    checks = [check(report, _find) for report in document.get("jobs", [document])]
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


# A seed has nothing to shrink to.
@given(seed=st.integers(0, 10**9))
@settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
def test_what_was_settled_is_what_both_compute(
    seed: int, tmp_path_factory: pytest.TempPathFactory, referee: ModuleType
) -> None:
    document = verifying.document(Random(seed), tmp_path_factory.mktemp("runs"))
    jsonschema.validate(document, json.loads(exports.published("report")))
    assert _verdicts(document) == {"verified"}
    for report in document["jobs"]:
        assert _refereed(referee, report) == []


def test_random_reports_hold_all_that_a_settlement_may(tmp_path: Path) -> None:
    """Else the laws here would hold of less than they say."""
    found = set()
    for seed in range(40):
        document = verifying.document(Random(seed), tmp_path / str(seed))
        for report in document["jobs"]:
            used, why, water = report["hardware"], report["null_reasons"], report["water"]
            reserved = report["energy_kwh"]["reserved"]
            known = report["total_g"] is not None
            parts = [c["energy_kwh"] for c in report["components"]]
            journals = [a["journal"] for a in report["evidence"]["attempts"]]
            lines = "".join(Path(j["path"]).read_text() for j in journals if j)
            found |= {
                name
                for name, there in {
                    "boards apart": known and used["boards_share"] is not None,
                    "boards together": known and used["boards_share"] is None and used["gpus"],
                    "boards without M": "is not counted" in why.get("embodied_g", ""),
                    "no upper bound": reserved and reserved["high"] is None,
                    "unread up to full power": reserved and None in parts and reserved["high"],
                    "steps not metered": why.get("operational_g") == "steps not metered",
                    "no journal": None in journals,
                    "found late": '{"component"' in lines,
                    "a slice": '"share":0.4' in lines,
                    "shares": '"share_s"' in lines,
                    "water": water and water["litres"]["value"],
                    "no water": water and reserved["value"] and not water["litres"]["value"],
                    "within": report["within"],
                    "still running": report["evidence"]["attempts"][-1]["ended_s"] is None,
                    "other methods": "accounting method" in why.get("baseline_g", ""),
                    "saved": report["saved_g"],
                }.items()
                if there
            }
        if document["totals"]["jobs_within"]:
            found.add("sums without runs within")
    assert len(found) == 17, found


def test_every_change_of_a_figure_or_of_a_byte_of_a_journal_is_detected(
    tmp_path: Path, referee: ModuleType
) -> None:
    """Of reports of several jobs, and of one job as `lowtide meter` writes it."""
    rng = Random(20260302)
    made = [_report(rng, tmp_path / str(n), alone=n % 4 == 1) for n in range(2 + CHANGES // 250)]
    missed = []
    for _ in range(CHANGES):
        document, journals = rng.choice(made)
        if journals and rng.random() < 0.3:
            file = rng.choice(journals)
            whole = file.read_bytes()
            at, other = rng.randrange(len(whole)), bytes([rng.randrange(256)])
            cut = rng.choice([0, 1]) if other != whole[at : at + 1] else 0
            file.write_bytes(whole[:at] + other + whole[at + cut :])
            what, detected = f"{file} {at}", _verdicts(document) != {"verified"}
            one = document.get("jobs", [document])[int(file.parent.name[0])]
            detected = detected and bool(_refereed(referee, one))
            file.write_bytes(whole)
        else:
            path = rng.choice(_leaves(document))
            changed = _changed(rng, document, path)
            what, detected = str(path), _verdicts(changed) != {"verified"}
            if path[0] not in NOT_REFEREED:
                one = changed["jobs"][path[1]] if "jobs" in changed else changed
                # What it cannot compute with ends it with a traceback, and exit code 1.
                with suppress(ArithmeticError, LookupError, TypeError, ValueError):
                    detected = detected and bool(_refereed(referee, one))
        if not detected:
            missed.append(what)
    assert missed == []


def _report(rng: Random, folder: Path, *, alone: bool) -> tuple[dict[str, Any], list[Path]]:
    """A report and the journals of its jobs; of the first job ``alone``, or of all."""
    document = verifying.document(rng, folder)
    journals = sorted(folder.glob("0-*/*" if alone else "*/*"))
    return {"schema_version": 1} | document["jobs"][0] if alone else document, journals


def test_a_changed_figure_with_a_new_seal_is_detected_by_recomputing_it(
    tmp_path: Path, referee: ModuleType
) -> None:
    """Who changes a figure can make a new seal: the figure then follows from no journal."""
    rng, seen = Random(7), set()
    for number in range(4):
        document = verifying.document(rng, tmp_path / str(number), jobs=1)
        inputs = (("functional_units", "count"),)
        paths = [
            p for p in _leaves(document["jobs"][0])
            if p[0] in COMPUTED and p[-1] != "exit_code" and (p[0], p[-1]) not in inputs
        ]  # fmt: skip
        seen |= {p[0] for p in paths}
        for path in rng.sample(paths, min(20, len(paths))):
            made = _changed(rng, document, ("jobs", 0, *path))
            report = made["jobs"][0]
            report["evidence"]["report_sha256"] = seal(report)
            found = check(report, _find)
            assert found.differences, path
            assert found.faults == ()
            if path[0] not in EXPLAINED:
                assert _refereed(referee, report), path
    assert seen == set(COMPUTED)


def test_an_upper_bound_that_is_not_known_is_checked(tmp_path: Path, referee: ModuleType) -> None:
    """Neither may a bound be made up, nor one be dropped."""
    seen, seeds = set(), count()
    while len(seen) < 2:
        seed = next(seeds)
        (report,) = verifying.document(Random(seed), tmp_path / str(seed), 1)["jobs"]
        figure = report["operational_g"]
        if figure is None or (unbounded := figure["high"] is None) in seen:
            continue
        figure["high"] = 2 * figure["value"] if unbounded else None
        report["evidence"]["report_sha256"] = seal(report)
        (found,) = check(report, _find).differences
        assert found.path == "operational_g.high"
        assert len(_refereed(referee, report)) == 1
        seen.add(unbounded)

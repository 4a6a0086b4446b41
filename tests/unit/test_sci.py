"""Settlement on cases that can be checked by hand; missing stays missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import reports

from providers.base import ZERO, Component, Journal, Reading, Sample, Triple
from providers.runner.journal import JournalWriter, read_journal
from providers.series import Series
from scheduler.models import Hardware, Settlement, Site, Water, WaterUse
from scheduler.report.schema import totals
from scheduler.sci import AttemptRecord, count, embodied_g, settle

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HARDWARE = Hardware(Triple.exact(1000), 4 * 365 * 24, 10, 0, "test")
SITE = Site("here", "DE", Triple.exact(1.0), "none", HARDWARE)
KWH = 3.6e6


def _series(values: list[float], kind: Any = "actual") -> Series:
    g = np.array(values)
    starts = T0.timestamp() + 3600.0 * np.arange(len(g))
    sources = np.array(["s"] * len(g))
    return Series("DE", "average", kind, T0, starts, starts + 3600, g, g, g, sources)


def test_a_board_that_was_metered_needs_its_share_of_m() -> None:
    """A server without boards does not give the M of a run that held one."""
    journal = _journal({"cpu": 1.0, "gpu:GPU-aaaa": 2.0})
    bare = _settle(journal)
    assert (bare.embodied_g, bare.total_g, bare.sci_g_per_unit) == (None, None, None)
    assert "GPU-aaaa" in bare.nulls["embodied_g"]
    assert bare.nulls["sci_g_per_unit"] == bare.nulls["embodied_g"]
    rule = next(r for r in bare.conformance if r.rule.startswith("M shall"))
    assert rule.met == "not_met"
    assert "GPU-aaaa" in rule.why
    machine = replace(HARDWARE, gpus=2, boards_kg=Triple.exact(300))
    whole = _settle(journal, site=replace(SITE, hardware=machine))
    assert whole.embodied_g is not None
    # An hour of four years: a tenth of 700 kg by slots, and one of two boards of 150 kg each.
    assert whole.embodied_g.value == pytest.approx((700 / 10 + 150) * 1000 / (4 * 365 * 24))
    assert next(r for r in whole.conformance if r.rule.startswith("M shall")).met == "met"
    assert whole.hardware is not None
    assert whole.hardware.boards_share == 0.5


def test_boards_of_attempts_on_several_nodes_are_no_more_than_each_node_has() -> None:
    """A job that was started again on another node held one board at a time."""
    machine = replace(HARDWARE, gpus=1, boards_kg=Triple.exact(150))
    nodes = [
        AttemptRecord(T0 + n * HOUR, T0 + (n + 1) * HOUR, 0, _journal({f"gpu:GPU-{n}": 1.0}))
        for n in range(2)
    ]
    s = _settle(nodes[0].journal, attempts=nodes, site=replace(SITE, hardware=machine))
    assert s.embodied_g is not None
    assert s.embodied_g.value == pytest.approx((850 / 10 + 150) * 2000 / (4 * 365 * 24))


def test_a_home_without_the_boards_is_compared_by_operational_carbon() -> None:
    """Its machine could not have run the job, so its M says nothing of what was saved."""
    site = replace(SITE, hardware=replace(HARDWARE, gpus=1, boards_kg=Triple.exact(150)))
    journal = _journal({"gpu:GPU-a": 1.0})
    s = _settle(journal, site=site, home=replace(SITE, region="home"))
    assert s.embodied_g is not None
    assert s.basis == "operational"
    assert s.baseline_g == s.operational_g
    assert s.saved_g == Triple.exact(0.0)


@pytest.mark.parametrize("kwh", [5.27, 8.98, 1.1, 0.07])
def test_no_share_is_more_than_all_of_it(kwh: float) -> None:
    """Rounding made 100.00000000000001 % of some, which no schema takes."""
    s = _settle(_journal({"cpu": kwh}), site=replace(SITE, pue=Triple(1.0, 1.1, 1.3)))
    assert s.measured_percent is not None
    assert s.measured_percent <= 100
    assert [c.share_percent for c in s.uncertainty] == [100]
    sums = totals([(reports.job(), s), (reports.job("1"), s), (reports.job("2"), s)])
    assert sums["measured_percent"] <= 100


def test_an_unknown_amount_of_energy_at_a_site_that_uses_no_water_uses_none() -> None:
    site = replace(SITE, water=WaterUse(Triple.exact(0.0), "air-cooled"))
    s = _settle(_journal({"cpu": 1.0}, covered=0.5), site=site)
    assert s.reserved_kwh is not None
    assert not s.reserved_kwh.bounded
    assert s.water is not None
    assert s.water.litres == Triple.exact(0.0)


def test_water_is_reserved_energy_times_the_use_of_the_site() -> None:
    use = WaterUse(Triple(0.1, 0.2, 0.4), "our water bill")
    s = _settle(_journal({"cpu": 2.0}), site=replace(SITE, water=use))
    assert s.reserved_kwh is not None
    assert s.water == Water(s.reserved_kwh * use.l_per_kwh, use)
    dry = _settle(_journal({"cpu": 2.0}))
    assert dry.water is None
    assert dry.nulls["water"] == (
        "no use of water is published for here: set regions.here.wue_l_per_kwh with its source"
    )


def _journal(
    parts: dict[str, float], hours: float = 1.0, *, covered: float = 1.0, max_w: float | None = None
) -> Journal:
    """Constant power over the covered share; ``parts`` in kWh."""
    components = tuple(Component(n, "measured", "test", max_w) for n in parts)
    first = tuple(Reading(n, ZERO, ZERO, 0.0) for n in parts)
    last = tuple(
        Reading(n, ZERO, Triple.exact(kwh * KWH), hours * 3600 * covered)
        for n, kwh in parts.items()
    )
    begin = T0.timestamp()
    end = begin + hours * 3600 * covered
    return Journal(components, (Sample(begin, 0, first), Sample(end, 1800, last)))


def _settle(journal: Journal, hours: float = 1.0, **changes: Any) -> Settlement:
    record = AttemptRecord(T0, T0 + hours * HOUR, 0, journal)
    fields: dict[str, Any] = {
        "attempts": [record],
        "site": SITE,
        "home": SITE,
        "release": T0,
        "intensity": _series([100, 200, 300]),
        "home_intensity": _series([100, 200, 300]),
        "provisional": False,
        "slots": 1,
        "gpus": 0,
        "unit": None,
        "work": count(()),
    }
    return settle(**(fields | changes))


def test_embodied_carbon_of_the_standard() -> None:
    """1000 kg over 4 years, the whole machine for one hour: 28.5 g (SCI specification)."""
    whole = embodied_g(HARDWARE, 1.0, 10, 0)
    assert whole.value == pytest.approx(28.54, abs=0.01)
    assert embodied_g(HARDWARE, 1.0, 1, 0).value == pytest.approx(2.854, abs=0.001)
    assert embodied_g(HARDWARE, 1.0, 50, 0) == whole, "never more than the machine"
    boards = replace(HARDWARE, gpus=4)
    assert embodied_g(boards, 1.0, 1, 2).value == pytest.approx(whole.value / 2)


def test_the_shares_of_a_published_training_run_add_up(tmp_path: Path) -> None:
    """Dodge et al. 2022, table 1: BERT, 12 h; GPU 74, CPU 9 and 4, DRAM 9 and 4 %.

    As a journal on disk, read by the hour.
    """
    watts = {"gpu:0": 187.1, "cpu:0": 22.9, "cpu:1": 9.3, "dram:0": 23.0, "dram:1": 9.3}
    components = [Component(name, "measured", "nvidia-smi or RAPL") for name in watts]
    writer = JournalWriter(tmp_path, components, {}, T0.timestamp())
    for hour in range(1, 13):
        at, seconds = T0.timestamp() + 3600 * hour, 3600.0 * hour
        writer.sample(
            at,
            0.0,
            [Reading(n, ZERO, Triple.exact(w * seconds), seconds) for n, w in watts.items()],
        )
    writer.close()
    flat = _series([400.0] * 12)
    s = _settle(read_journal(tmp_path), 12.0, intensity=flat, home_intensity=flat)
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.value == pytest.approx(251.6 * 12 / 1000, rel=1e-12)
    parts = [c.energy_kwh.value for c in s.components if c.energy_kwh]
    assert [round(100 * kwh / s.reserved_kwh.value) for kwh in parts] == [74, 9, 4, 9, 4]
    assert sum(parts) == s.reserved_kwh.value, "to the last digit"
    assert s.operational_g is not None
    assert s.operational_g.value == pytest.approx(251.6 * 12 / 1000 * 400)
    assert s.measured_percent == 100


def test_energy_meets_the_intensity_of_its_moment() -> None:
    s = _settle(_journal({"cpu": 2.0}, 2.0), 2.0)
    assert s.operational_g is not None
    assert s.operational_g.value == pytest.approx(1.0 * 100 + 1.0 * 200)
    assert s.intensity is not None
    assert s.intensity.g_per_kwh.value == pytest.approx(150)


def test_a_delay_is_compared_with_the_release() -> None:
    late = replace(
        _journal({"cpu": 1.0}),
        samples=tuple(
            replace(sample, at=sample.at + 7200) for sample in _journal({"cpu": 1.0}).samples
        ),
    )
    record = AttemptRecord(T0 + 2 * HOUR, T0 + 3 * HOUR, 0, late)
    s = _settle(late, attempts=[record], intensity=_series([500, 200, 100]),
                home_intensity=_series([500, 200, 100]))  # fmt: skip
    assert s.saved_g is not None
    assert s.saved_g.value == pytest.approx(400)
    worse = _settle(late, attempts=[record], intensity=_series([100, 200, 500]),
                    home_intensity=_series([100, 200, 500]))  # fmt: skip
    assert worse.saved_g is not None
    assert worse.saved_g.value == pytest.approx(-400), "a loss is shown as one"
    assert worse.saved_percent is not None
    assert worse.saved_percent < 0


def test_a_hole_in_the_journal_widens_the_upper_bound_only() -> None:
    s = _settle(_journal({"cpu": 0.5}, covered=0.5, max_w=200.0))
    cpu = s.components[0]
    assert cpu.coverage_percent == pytest.approx(50)
    assert cpu.energy_kwh is not None
    assert cpu.energy_kwh.value == pytest.approx(0.5)
    assert cpu.energy_kwh.low == pytest.approx(0.5)
    assert cpu.energy_kwh.high == pytest.approx(0.5 + 0.2 * 0.5)
    assert any("not read" in note for note in s.notes)


def test_a_component_that_was_held_but_not_read_is_null_and_named() -> None:
    journal = _journal({"cpu": 1.0})
    missing = Component("gpu:A", "missing", "no meter")
    s = _settle(replace(journal, components=(*journal.components, missing)))
    assert s.components[1].energy_kwh is None
    assert "components.gpu:A.energy_kwh" in s.nulls
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.value == pytest.approx(1.0)
    first = s.conformance[0]
    assert first.met == "not_met"
    assert "gpu:A" in first.why


def test_without_a_journal_nothing_is_claimed() -> None:
    s = _settle(Journal((), (), ("no energy journal",)))
    assert s.reserved_kwh is None
    assert s.operational_g is None
    assert s.saved_g is None
    assert s.sci_g_per_unit is None
    assert "no energy journal" in s.nulls["operational_g"]
    assert s.embodied_g is not None


def test_an_intensity_with_a_hole_gives_no_carbon() -> None:
    s = _settle(_journal({"cpu": 1.0}, 2.0), 2.0, intensity=_series([100]))
    assert s.operational_g is None
    assert "intensity" in s.nulls["operational_g"]


def test_an_unknown_grid_gives_no_carbon_and_its_reason() -> None:
    s = _settle(
        _journal({"cpu": 1.0}), intensity=None, home_intensity=None, no_intensity_reason="no zone"
    )
    assert s.nulls["operational_g"] == "no zone"
    assert s.nulls["saved_g"] == "no zone"
    assert s.reserved_kwh is not None


def test_failed_attempts_count() -> None:
    one = AttemptRecord(T0, T0 + HOUR, 1, _journal({"cpu": 1.0}))
    s = _settle(_journal({"cpu": 1.0}), attempts=[one, one])
    assert s.reserved_kwh is not None
    assert s.reserved_kwh.value == pytest.approx(2.0)
    assert len(s.attempts) == 2
    assert len(s.components) == 1
    assert s.conformance[-1].met == "met"


def test_the_functional_unit_divides_the_total() -> None:
    s = _settle(_journal({"cpu": 1.0}), unit="epochs", work=count([("epochs", 3), ("epochs", 1)]))
    assert s.total_g is not None
    assert s.sci_g_per_unit is not None
    assert s.sci_g_per_unit.value == pytest.approx(s.total_g.value / 4)
    for lines in ([], [("epochs", 0.0)], [("epochs", -1.0)]):
        none = _settle(_journal({"cpu": 1.0}), unit="epochs", work=count(lines))
        assert none.unit_count is None
        assert none.sci_g_per_unit is None
        assert "LOWTIDE_UNITS" in none.nulls["functional_unit.count"]


def test_without_hardware_there_is_no_score_and_no_total() -> None:
    bare = replace(SITE, hardware=None)
    s = _settle(_journal({"cpu": 1.0}), site=bare, home=bare)
    assert (s.embodied_g, s.total_g, s.sci_g_per_unit) == (None, None, None)
    assert s.basis == "operational"
    assert "not an SCI" in s.nulls["sci_g_per_unit"]


def test_the_largest_uncertainty_is_named() -> None:
    wide = replace(SITE, pue=Triple(1.0, 1.0, 3.0), hardware=None)
    s = _settle(_journal({"cpu": 1.0}), site=wide, home=wide)
    assert s.largest_uncertainty.startswith("PUE")
    exact = _settle(_journal({"cpu": 1.0}))
    assert exact.largest_uncertainty.startswith("none")


def test_estimates_are_labelled() -> None:
    s = _settle(_journal({"cpu": 1.0}), intensity=_series([100, 100], "estimate"))
    assert s.saving_estimated
    assert s.intensity is not None
    assert s.intensity.kind == "estimate"
    assert s.measured_percent == pytest.approx(100)

"""From ``hardware:`` settings to the machine of a region, or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import NOW
from support.play_boavizta import LIFE_H, boavizta
from support.server import Play, Reply, SourceServer

from providers.base import Component, Triple
from providers.surroundings import Surroundings
from scheduler.config import Config, Settings
from scheduler.machines import PATIENCE, Machine
from scheduler.models import Hardware
from scheduler.regions import Region, Regions
from scheduler.sci.embodied import boards_held, embodied_g, hardware_used, reserved_share

ELSEWHERE = {"zone": "FR", "executor": None}


@dataclass
class Site:
    """A home whose clock is moved by hand."""

    folder: Path
    now: datetime = NOW

    def region(self, hardware: dict[str, Any] | None, **more: Any) -> Region:
        settings = Settings.model_validate({"regions": {"local": {"hardware": hardware} | more}})
        here = Surroundings(self.folder, self.folder / "cache", clock=lambda: self.now)
        return Regions(Config(settings, self.folder / "config.yaml", self.folder), here)["local"]

    def machine(self, hardware: dict[str, Any], **more: Any) -> Machine:
        return self.region(hardware, **more).machine

    def known(self, hardware: dict[str, Any], **more: Any) -> Hardware:
        found = self.machine(hardware, **more)
        assert found.hardware is not None, found.reason
        assert (found.reason, found.for_now) == ("", False)
        return found.hardware


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _asks(server: SourceServer, **more: Any) -> dict[str, Any]:
    machine = {"provider": "aws", "instance": "c5.large"}
    return {"boavizta": {"url": server.url, **machine, **more}}


def test_nothing_declared_is_no_machine(site: Site) -> None:
    assert site.region(None).machine == Machine(None)
    assert site.region(None).site.hardware is None


def test_an_instance_is_a_share_of_its_platform(site: Site) -> None:
    found = site.known({"instance": "aws/a1.large"})
    assert (found.slots, found.total_kg.value, found.lifespan_h) == (16, 1022.21, 35040)
    assert "platform of aws/a1.large" in found.slots_source
    assert found.lifespan_source == "Cloud Carbon Footprint @ b0032d9"
    assert reserved_share(found, 2, 0)[0] == 2 / 16


def test_a_lifespan_of_ones_own_stands_in_with_its_source(site: Site) -> None:
    said = {"lifespan": "6y", "lifespan_source": "asset register"}
    four, six = site.known({"instance": "aws/a1.large"}), None
    six = Site(site.folder).known({"instance": "aws/a1.large", **said})
    assert (six.lifespan_h, six.lifespan_source) == (6 * 8760, "asset register")
    ratio = embodied_g(six, 1, 2, 0).value / embodied_g(four, 1, 2, 0).value
    assert ratio == pytest.approx(4 / 6)


def test_boards_are_counted_and_may_have_a_figure_of_their_own(site: Site) -> None:
    board = {"value": 164, "low": 140, "source": "maker's sheet"}
    found = site.known({"ccf_server": {"memory_gb": 16, "gpus": 8, "gpu_kg": board}, "slots": 64})
    assert found.total_kg == Triple(500 + 8 * 140, 1000 + 8 * 164, 2000 + 8 * 164)
    assert found.gpus == 8
    assert found.boards_kg == Triple(8 * 140, 8 * 164, 8 * 164)
    slots = "4 of 64 slots (regions.local.hardware.slots)"
    assert reserved_share(found, 4, 2) == (4 / 64, slots)
    assert reserved_share(found, 640, 0)[0] == 1.0
    held_g = embodied_g(found, found.lifespan_h / 1000, 4, 2)
    assert held_g.value == pytest.approx(1000 * 4 / 64 + 8 * 164 * 2 / 8)


def test_an_instance_knows_its_boards_and_a_job_holds_its_part_of_each(site: Site) -> None:
    found = site.known({"instance": "aws/p4d.24xlarge"})
    assert (found.gpus, found.slots) == (8, 96)
    rest_kg, boards_kg = 4676.79 - 8 * 150, 8 * 127.6
    assert found.total_kg.value == pytest.approx(rest_kg + boards_kg)
    held_g = embodied_g(found, found.lifespan_h / 1000, 1, 1)
    assert held_g.value == pytest.approx(rest_kg / 96 + boards_kg / 8)
    assert "Falk et al. 2025" in found.source


CPU = Component("cpu", "modelled", "test")
BOARD = Component("gpu:GPU-a", "measured", "test")
SLICE = Component("gpu:MIG-a", "measured", "test", share=3 / 7)


@pytest.mark.parametrize(
    ("attempts", "gpus", "held"),
    [
        ([[CPU]], 0, 0.0),
        ([[CPU]], 2, 2.0),  # no meter names them
        ([[CPU, BOARD]], 0, 1.0),  # the job was seen on it
        ([[CPU, SLICE]], 1, 3 / 7),
        ([[CPU, SLICE, SLICE]], 2, 6 / 7),
        ([[CPU, SLICE, BOARD], [CPU, SLICE]], 1, 10 / 7),
        ([[CPU, SLICE]], 2, 10 / 7),  # the other one is not named
        ([[CPU, SLICE], []], 1, 3 / 7),  # an attempt without a record says nothing
        ([], 1, 1.0),
    ],
)
def test_a_slice_is_its_part_of_a_board(
    attempts: list[list[Component]], gpus: int, held: float
) -> None:
    assert boards_held(attempts, gpus) == pytest.approx(held)


@given(st.lists(st.tuples(st.integers(0, 96), st.integers(0, 8)), max_size=12))
def test_all_who_hold_parts_of_a_machine_hold_no_more_than_the_machine(
    wants: list[tuple[int, int]],
) -> None:
    kg = Triple(1000, 2000, 4000)
    machine = Hardware(kg, 1000, 96, 8, "test", boards_kg=Triple(100, 200, 400))
    slots, gpus, held_g = 96, 8, 0.0
    for some, boards in wants:
        some, boards = min(some, slots), min(boards, gpus)
        slots, gpus = slots - some, gpus - boards
        held_g += embodied_g(machine, 1.0, some, boards).value
    assert held_g <= 2000 * (1 + 1e-9)
    if not slots and not gpus:
        assert held_g == pytest.approx(2000)


def test_a_board_is_named_or_has_the_flat_figure(site: Site) -> None:
    named = {"ccf_server": {"memory_gb": 16, "gpus": 1, "gpu": "NVIDIA H100 80GB HBM3"}}
    found = site.known(named)
    assert found.boards_kg is not None
    assert found.boards_kg.value == 164
    assert "HGX H100" in found.source
    bare = Site(site.folder).known({"ccf_server": {"memory_gb": 16, "gpus": 1}})
    assert bare.boards_kg == Triple(75, 150, 300)


def test_this_machine_fills_in_for_itself_and_for_nobody_else(site: Site) -> None:
    here = site.known({"ccf_server": {}})
    assert (here.slots, here.slots_source) == (os.cpu_count(), "logical CPUs of this machine")
    assert here.total_kg.value >= 1000
    gone = Site(site.folder).machine({"ccf_server": {"cpus": 2}}, **ELSEWHERE)
    assert gone.hardware is None
    assert not gone.for_now
    assert "set regions.local.hardware.ccf_server.memory_gb" in gone.reason
    unsized = Site(site.folder).machine({"ccf_server": {"memory_gb": 64}}, **ELSEWHERE)
    assert "set regions.local.hardware.slots" in unsized.reason
    lent = Site(site.folder).known({"ccf_server": {"memory_gb": 64}}, slots=48, **ELSEWHERE)
    assert (lent.slots, lent.slots_source) == (48, "regions.local.slots")


def test_a_declared_figure_has_its_bounds_and_sources(site: Site) -> None:
    figure = {"embodied_kg": {"value": 850, "high": 1000}, "source": "data sheet", "slots": 16}
    found = site.known(figure | {"lifespan": "5y"})
    assert found.total_kg == Triple(850, 850, 1000)
    assert (found.source, found.lifespan_source) == ("data sheet", "data sheet")
    bare = {"embodied_kg": 850, "source": "sheet", "lifespan": "5y", "lifespan_source": "policy"}
    plain = Site(site.folder).known(bare)
    assert plain.total_kg == Triple.exact(850)
    assert plain.lifespan_source == "policy"


def test_what_a_report_tells_of_it_adds_up(site: Site) -> None:
    found = site.known({"instance": "aws/a1.large"})
    used = hardware_used(found, 2, 0)
    hours = 3.0
    m = used.total_kg.value * 1000 * (hours / used.lifespan_h) * used.reserved_share
    assert m == pytest.approx(embodied_g(found, hours, 2, 0).value)
    assert used.reserved_share_source.startswith("2 of 16 slots (vCPUs of the platform")


# --- a Boavizta server ----------------------------------------------------------------------


def test_a_server_that_answers_is_taken_at_its_word(
    site: Site, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(boavizta)
    region = site.region(_asks(server))
    assert server.asked == [], "asked before M was needed"
    found = region.hardware
    assert found is not None
    assert (found.total_kg, found.slots) == (Triple(12.0, 20.0, 30.0), 2)
    assert found.lifespan_h == LIFE_H
    times = len(server.asked)
    assert region.hardware is found
    own = site.known(_asks(server) | {"lifespan": "4y", "lifespan_source": "us", "slots": 4})
    assert (own.lifespan_h, own.slots) == (35040, 4)
    assert len(server.asked) == times, "kept on disk"


def test_its_silence_is_one_reason_and_it_is_asked_again(
    site: Site, serve: Callable[[Play], SourceServer]
) -> None:
    server = serve(lambda _: Reply("", 503))
    region = site.region(_asks(server))
    found = region.machine
    assert (found.hardware, found.for_now) == (None, True)
    assert found.reason == (
        f"the Boavizta API at {server.url} does not answer, so there is no embodied carbon: start "
        "it, or set regions.local.hardware.boavizta.fallback: ccf"
    )
    assert region.site.no_hardware == found.reason
    times = len(server.asked)
    assert region.machine.reason == found.reason
    assert len(server.asked) == times
    server.play = boavizta
    site.now += PATIENCE + timedelta(seconds=1)
    assert region.hardware is not None


def test_what_it_does_not_know_is_final(site: Site, serve: Callable[[Play], SourceServer]) -> None:
    found = site.machine(_asks(serve(boavizta), instance="c5.lrage"))
    assert (found.hardware, found.for_now) == (None, False)
    assert "c5.lrage at aws not found" in found.reason
    assert "start it" not in found.reason


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (lambda _: Reply("", 500), "does not answer"),
        (lambda _: Reply("{}", 404), "does not know the machine"),
        (lambda _: Reply("{}"), "tells no figure"),
    ],
)
def test_a_stated_fallback_stands_in_and_is_named(
    play: Play, said: str, site: Site, serve: Callable[[Play], SourceServer]
) -> None:
    found = site.known(_asks(serve(play), fallback="ccf"))
    assert found.source.endswith(f"aws c5.large; fallback, for Boavizta {said}")
    assert found.total_kg.value > 1000
    assert found.slots == 72


def test_a_server_by_parts_falls_back_on_the_same_parts(
    site: Site, serve: Callable[[Play], SourceServer]
) -> None:
    parts = {
        "cpu": {"units": 2},
        "ram": [{"units": 8, "capacity": 32}],
        "disk": [{"type": "ssd", "units": 2}, {"type": "hdd", "units": 1}],
        "gpu": {"units": 4},
    }
    server = serve(boavizta)
    asked = {"url": server.url, "server": parts, "fallback": "ccf"}
    told = site.known({"boavizta": asked})
    assert told.total_kg == Triple(900.0, 1800.0, 2400.0)
    assert told.gpus == 4
    server.play = lambda _: Reply("", 500)
    parts["gpu"] = {"units": 2}
    found = Site(site.folder).known({"boavizta": asked, "slots": 64})
    kg = 1000 + 533 / 384 * (256 - 16) + 100 + 2 * 150 + 2 * 100 + 50
    assert found.total_kg.value == pytest.approx(kg)
    assert (found.gpus, found.slots) == (2, 64)

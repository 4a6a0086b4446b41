"""What is made of a Boavizta server's answers, whole and faulty."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import NOW
from support.faults import FAULTS
from support.play_boavizta import LIFE_H, boavizta, embedded
from support.server import Asked, Play, Reply, SourceServer

from providers.base import Triple
from providers.errors import BadData, NoData, ProviderError, Unavailable
from providers.hardware import boavizta as module
from providers.hardware.boavizta import Boavizta
from providers.surroundings import Surroundings

PARTS: dict[str, Any] = {
    "cpu": {"units": 2},
    "ram": [{"units": 8, "capacity": 32}, {"units": 4, "capacity": 64}],
    "disk": [],
    "gpu": {"units": 4},
}


@pytest.fixture
def at(tmp_path: Path, serve: Callable[[Play], SourceServer]) -> Callable[[Play], Any]:
    """A door to a played server, which is handed over with it."""

    def opened(play: Play) -> tuple[Boavizta, SourceServer]:
        server = serve(play)
        here = Surroundings(tmp_path, tmp_path / "cache", clock=lambda: NOW)
        return Boavizta(server.url, here), server

    return opened


def _plays(body: dict[str, Any]) -> Play:
    def play(asked: Asked) -> Reply:
        return boavizta(asked) if asked.path.endswith("version") else Reply(json.dumps(body))

    return play


def test_bounds_are_its_own_and_an_instance_is_a_whole_of_its_own(at: Callable[..., Any]) -> None:
    door, server = at(boavizta)
    found = door.instance("aws", "c5.large")
    assert found.total_kg == Triple(12.0, 20.0, 30.0)
    assert (found.lifespan_h, found.slots) == (LIFE_H, 2)
    name = f"Boavizta API ({server.url.removeprefix('http://')}) 2.5.0"
    assert found.source == f"{name}, aws/c5.large"
    assert found.lifespan_source == name
    assert found.slots_source == f"vCPUs of aws/c5.large, {name}"
    assert server.asked[0].path == "/v1/cloud/instance"
    asked = {"provider": "aws", "instance_type": "c5.large", "verbose": "true", "criteria": "gwp"}
    assert server.asked[0].query == asked


def test_a_server_is_told_by_its_parts(at: Callable[..., Any]) -> None:
    door, server = at(boavizta)
    found = door.server(PARTS)
    assert found.total_kg == Triple(900.0, 1800.0, 2400.0)
    assert found.slots is None
    assert found.source.endswith("a server of 2 cpu, 12 ram, 0 disk, 4 gpu")
    assert json.loads(server.asked[0].body) == {"configuration": PARTS}
    assert server.asked[0].path == "/v1/server/"


def test_an_answer_is_kept_on_disk_for_every_process_and_each_question_has_its_own(
    at: Callable[..., Any], tmp_path: Path
) -> None:
    door, server = at(boavizta)
    door.instance("aws", "c5.large"), door.server(PARTS)
    times = len(server.asked)
    # Another process, days later, while the server is down.
    server.play = lambda _: Reply("down", 500)
    later = NOW + timedelta(seconds=module.TTL_S - 60)
    again = Boavizta(server.url, Surroundings(tmp_path, tmp_path / "cache", clock=lambda: later))
    assert again.instance("aws", "c5.large").total_kg == Triple(12.0, 20.0, 30.0)
    assert again.server(PARTS).total_kg.value == 1800.0
    assert len(server.asked) == times
    with pytest.raises(Unavailable):
        again.server(PARTS | {"gpu": {"units": 2}})


@pytest.mark.parametrize("fault", [f for f in FAULTS if not FAULTS[f].slow])
def test_a_fault_is_told_in_one_line_by_its_error(fault: str, at: Callable[..., Any]) -> None:
    door, _ = at(FAULTS[fault](boavizta))
    with pytest.raises(ProviderError) as raised:
        door.instance("aws", "c5.large")
    assert isinstance(raised.value, FAULTS[fault].error)
    assert str(raised.value).isprintable()
    assert str(raised.value).startswith("Boavizta API (127.0.0.1:")


def test_a_server_that_hangs_costs_one_try(
    at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    door, server = at(FAULTS["no answer"](boavizta))
    with pytest.raises(Unavailable, match=r"within 0\.3 s"):
        door.instance("aws", "c5.large")
    assert len(server.asked) == 1


def test_what_it_does_not_know_is_said_in_its_own_words(at: Callable[..., Any]) -> None:
    door, _ = at(boavizta)
    with pytest.raises(NoData, match=r"c5\.lrage at aws not found"):
        door.instance("aws", "c5.lrage")


def test_the_figure_of_another_machine_is_none(at: Callable[..., Any]) -> None:
    """It answers with the nearest name that it knows, and a warning."""
    door, _ = at(boavizta)
    with pytest.raises(NoData, match=r"does not know azure/D4s v3: .*closest match 'd4s_v3'"):
        door.instance("azure", "D4s v3")


VCPU = {"value": 2.0}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "no object"),
        ({}, "no embodied carbon"),
        ({"impacts": {"gwp": "not implemented"}}, "no embodied carbon"),
        (embedded(1.0, 2.0, 3.0) | {"impacts": {"gwp": {"embedded": "none"}}}, "no embodied"),
        (embedded(1.0, True, 3.0, vcpu=VCPU), "no embodied carbon"),
        (embedded(5.0, 4.0, 3.0, vcpu=VCPU), "bounds that are none: 5 to 3"),
        (embedded(-1.0, 4.0, 5.0, vcpu=VCPU), "bounds that are none"),
        (embedded(0.0, 0.0, 5.0, vcpu=VCPU), "bounds that are none"),
        (embedded(1.0, 2.0, 3.0), "no vcpu"),
        (embedded(1.0, 2.0, 3.0, vcpu={"value": "two"}), "no vcpu"),
        (embedded(1.0, 2.0, 3.0, vcpu={"value": 0.0}), "0 vCPUs"),
        (embedded(1.0, 2.0, 3.0, vcpu={"value": 1.5}), "1.5 vCPUs"),
        (embedded(1.0, 2.0, 3.0, vcpu=VCPU, hours_life_time={"value": 0.0}), "a life of 0 h"),
        (embedded(1.0, 2.0, 3.0, vcpu=VCPU, hours_life_time=None), "no hours_life_time"),
    ],
)
def test_an_answer_without_a_figure_is_no_figure(
    body: Any, said: str, at: Callable[..., Any]
) -> None:
    door, _ = at(_plays(body))
    with pytest.raises(BadData, match=said):
        door.instance("aws", "c5.large")


def test_a_value_rounded_past_its_bounds_stays_within_them(at: Callable[..., Any]) -> None:
    door, _ = at(_plays(embedded(21.0, 20.0, 29.0, vcpu=VCPU)))
    assert door.instance("aws", "c5.large").total_kg == Triple(20.0, 20.0, 29.0)


@pytest.mark.parametrize("version", [Reply("no", 500), Reply("{}"), Reply('"1\\n2"')])
def test_a_server_that_does_not_tell_its_version_is_named_without(
    version: Reply, at: Callable[..., Any]
) -> None:
    door, server = at(lambda a: version if a.path.endswith("version") else boavizta(a))
    said = f"Boavizta API ({server.url.removeprefix('http://')}), aws/c5.large"
    assert door.instance("aws", "c5.large").source == said

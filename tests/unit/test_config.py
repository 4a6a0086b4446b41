"""The configuration: found in order, checked, and every fault one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import config
from scheduler.errors import ConfigError

ROOT = Path(__file__).parents[2]


def _load(tmp_path: Path, text: str) -> config.Config:
    (tmp_path / "mine.yaml").write_text(text)
    return config.load("mine.yaml", {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)


def test_the_packaged_file_says_what_the_code_defaults_to(tmp_path: Path) -> None:
    assert config.load(None, {}, tmp_path).settings == config.Settings()
    packaged = ROOT / "scheduler" / "data" / "config.yaml"
    assert packaged.read_text() == (ROOT / "config.yaml").read_text()


def test_the_option_wins_over_the_variable_over_the_folder(tmp_path: Path) -> None:
    for name, home in (("a.yaml", "aws:eu-west-1"), ("b.yaml", "aws:eu-west-2")):
        (tmp_path / name).write_text(f"home: {home}\n")
    (tmp_path / "config.yaml").write_text("home: aws:eu-west-3\n")
    environ = {"LOWTIDE_CONFIG": "b.yaml"}
    assert config.load("a.yaml", environ, tmp_path).settings.home == "aws:eu-west-1"
    assert config.load(None, environ, tmp_path).settings.home == "aws:eu-west-2"
    assert config.load(None, {}, tmp_path).settings.home == "aws:eu-west-3"


def test_a_named_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        config.load("absent.yaml", {}, tmp_path)


def test_a_partial_local_region_keeps_the_built_in_rest(tmp_path: Path) -> None:
    local = _load(tmp_path, "regions:\n  local:\n    zone: DE\n").settings.regions["local"]
    assert (local.zone, local.executor) == ("DE", "local")
    assert local.pue is not None
    assert local.pue.source


def _hardware(text: str) -> str:
    return f"regions: {{x: {{hardware: {{{text}}}}}}}\n"


def _boavizta(text: str) -> str:
    return _hardware(f"boavizta: {{url: 'http://127.0.0.1:5000', {text}}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", r"mine\.yaml, line 2: broken YAML"),
        ("regoins: {}\n", "did you mean 'regions'"),
        ("regions: {local: {zoen: DE}}\n", "did you mean 'zone'"),
        ("regions: {x: {zone: NO}}\n", "quote the zone"),
        ("defaults: {slack: soon}\n", r"defaults\.slack: invalid duration 'soon'"),
        ("- a\n", "holds a list"),
        ("regions: {x: {pue: {value: 0.5, source: s}}}\n", "pue"),
        ("regions: {x: {pue: {value: 1.2}}}\n", r"pue\.source"),
        ("regions: {x: {hardware: {embodied_kg: 5}}}\n", "needs lifespan and source"),
        ("regions: {x: {hardware: {}}}\n", "needs one of"),
        ("regions: {x: {pue: {value: 1.2, low: 1.5, source: s}}}\n", "out of order"),
        ("regions: {x: {pue: {value: 1.2, low: 0.5, source: s}}}\n", r"pue\.low"),
        (_hardware("embodied_kg: {value: 5, low: -1}, lifespan: 4y, source: s"), "low"),
        (_hardware("instance: aws/c5.large, ccf_server: {}"), "needs one of"),
        (_hardware("instance: aws/c5.large, lifespan: 6y"), "stand together: who says so"),
        (_hardware("instance: aws/c5.large, lifespan_source: me"), "stand together"),
        (_hardware("instance: aws/c5.large, source: me"), "source belongs to embodied_kg"),
        (_hardware("ccf_server: {gpu_kg: {value: 164, source: s}}"), "say how many with gpus"),
        (_hardware("ccf_server: {gpus: 1, gpu_kg: {value: 164}}"), r"gpu_kg\.source"),
        (_hardware("ccf_server: {memory: 16}"), "did you mean 'memory_gb'"),
        (_boavizta("provider: aws"), "provider and instance stand together"),
        (_boavizta(""), "needs one of provider with instance, or server"),
        (
            _boavizta(
                "provider: aws, instance: a, server: {cpu: {units: 1}, ram: [{units: 1, "
                "capacity: 8}]}"
            ),
            "needs one of provider",
        ),
        (_boavizta("server: {cpu: {units: 1, nam: x}, ram: [{units: 1, capacity: 8}]}"), "'name'"),
        (_boavizta("server: {cpu: {units: 1}, ram: []}"), r"server\.ram"),
        (_boavizta("provider: aws, instance: a, fallback: none"), "fallback"),
        (_hardware("boavizta: {url: 'u:p@host', provider: aws, instance: a}"), r"boavizta\.url"),
    ],
)
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        _load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_binary_rubbish_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00rubbish")
    with pytest.raises(ConfigError, match="is not a text file"):
        config.load("mine.yaml", {}, tmp_path)

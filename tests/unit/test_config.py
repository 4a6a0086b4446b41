"""The configuration: found in order, checked, and every fault one line with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scheduler import config, config_files
from scheduler.errors import ConfigError

ROOT = Path(__file__).parents[2]


def _load(tmp_path: Path, text: str) -> config.Config:
    (tmp_path / "mine.yaml").write_text(text)
    return config.load("mine.yaml", {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)


def test_the_packaged_file_says_what_the_code_defaults_to(tmp_path: Path) -> None:
    assert config.load(None, {}, tmp_path).settings == config.Settings()
    packaged = ROOT / "scheduler" / "data" / "config.yaml"
    assert packaged.read_text() == (ROOT / "config.yaml").read_text()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder two levels down, with a file at every place, each of its own home region."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    here = tmp_path / "project" / "here"
    for name, text in {
        here / "a.yaml": "home: option\n",
        here / "b.yaml": "home: variable\n",
        here / "lowtide.yaml": "home: here\n",
        here.parent / "lowtide.yaml": "home: above\n",
        here / "config.yaml": "home: plain\n",
        config_files.users(): "home: user\n",
    }.items():
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(text)
    return here


def test_the_nearest_file_counts(places: Path) -> None:
    """Each place in turn is emptied, and the next one is found."""

    def home(named: str | None = None, **environ: str) -> str:
        return config.load(named, environ, places).settings.home

    assert home("a.yaml", LOWTIDE_CONFIG="b.yaml") == "option"
    assert home(LOWTIDE_CONFIG="b.yaml") == "variable"
    for at, name in (
        ("here", places / "lowtide.yaml"),
        ("above", places.parent / "lowtide.yaml"),
        ("plain", places / "config.yaml"),
        ("user", config_files.users()),
    ):
        assert home() == at
        name.unlink()
    assert home() == "local"
    assert config.load(None, {}, places).path == config_files.packaged()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {lr: 1}\n", "it has the key 'model'"),
        ("home: x\nmodel: {lr: 1}\n", "it has the key 'model'"),
        ("1: 2\n", "it has the key '1'"),
        ("- a\n", "holds a list"),
        ("lr: {{ lr }}\n", "broken YAML"),
        ("data: !include data.yaml\n", "broken YAML"),
        ("", "it is empty"),
    ],
)
def test_a_config_of_another_program_is_passed_over_and_named(
    places: Path, text: str, said: str
) -> None:
    for each in (places, places.parent):
        (each / "lowtide.yaml").unlink()
    (places / "config.yaml").write_text(text)
    found = config.load(None, {}, places)
    assert found.settings.home == "user"
    (hint,) = found.hints
    assert said in hint
    assert str(places / "config.yaml") in hint


@pytest.mark.parametrize(
    "text",
    [
        "lowtide: {home: mine}\nmodel: {lr: 1}\n",
        "lowtide:\nhome: mine\n",
        "lowtide: 1\nhome: mine\n",
        "home: mine\n",
    ],
)
def test_a_config_that_says_it_is_lowtide_s_is_read(places: Path, text: str) -> None:
    for each in (places, places.parent):
        (each / "lowtide.yaml").unlink()
    (places / "config.yaml").write_text(text)
    found = config.load(None, {}, places)
    assert (found.settings.home, found.hints) == ("mine", ())
    assert config.load("config.yaml", {}, places).settings.home == "mine"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lowtide.yaml", "model: {lr: 1}\n"),
        ("config.yaml", "lowtide: {model: {lr: 1}}\n"),
        ("config.yaml", "lowtide:\nmodel: {lr: 1}\n"),
    ],
)
def test_a_wrong_key_in_a_file_of_lowtide_s_is_an_error(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="unknown key 'model'"):
        config.load(None, {}, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regoins: {}\nhome: x\n", "did you mean 'regions'"),
        ("regions: [1\nhome: x\n", "line 2: broken YAML"),
        ("lowtide: [1\nmodel: x\n", "line 2: broken YAML"),
    ],
)
def test_a_slip_in_a_plain_file_of_lowtide_s_is_an_error(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        config.load(None, {}, tmp_path)


def test_a_file_that_another_user_put_where_anyone_may_write_is_not_read(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = places / "lowtide.yaml"
    monkeypatch.setattr("os.geteuid", lambda: own.stat().st_uid + 1)
    if own.stat().st_uid == 0:
        for each in (own, places.parent / "lowtide.yaml", places / "config.yaml"):
            os.chown(each, 4242, -1)
    assert config.load(None, {}, places).settings.home == "here", "a folder of their own"
    places.chmod(0o1777)
    found = config.load(None, {}, places)
    assert found.settings.home == "user"
    assert all("belongs to another user" in hint for hint in found.hints)
    assert config.load("lowtide.yaml", {}, places).settings.home == "here", "it was named"


def test_hints_never_name_the_packaged_file(tmp_path: Path) -> None:
    assert "lowtide init" in config.load(None, {}, tmp_path).edit
    assert str(config_files.packaged()) not in config.load(None, {}, tmp_path).edit
    assert _load(tmp_path, "home: local\n").edit == f"in {tmp_path / 'mine.yaml'}"


def test_a_named_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a file"):
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

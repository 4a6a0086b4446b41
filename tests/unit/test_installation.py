"""What is printed for cron and systemd works as it is, whatever is in the names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scheduler import config, installation

if TYPE_CHECKING:
    from scheduler.config import Config

ODD = """with space "quotes" $HOME 100% back\\slash's"""


@pytest.fixture
def odd(tmp_path: Path) -> Config:
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    return config.load(None, {"LOWTIDE_HOME": "home"}, folder)


def test_a_cron_line_does_a_pass_with_the_environment_of_cron(odd: Config) -> None:
    line = installation.cron_line(odd, {"PATH": os.environ["PATH"], "SECRET": "x"})
    fields, command = line[: len("* * * * * ")], line[len("* * * * * ") :]
    assert fields == "* * * * * "
    assert "SECRET" not in line
    # What cron hands to sh: a bare % ends the command, an escaped one is a %.
    assert "%" not in command.replace(r"\%", "")
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(odd.home.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no jobs" in done.stderr
    assert (odd.home / "lowtide.db").is_file()


def _words(line: str) -> list[str]:
    """A line of a unit file as systemd reads it: quotes, escapes, specifiers, variables."""
    found, word, quoted, signs = [], "", False, iter(line)
    for sign in signs:
        if sign == '"':
            quoted = not quoted
        elif sign == "\\":
            word += next(signs)
        elif sign == "%":
            assert next(signs) == "%"
            word += "%"
        elif sign == " " and not quoted:
            found.append(word)
            word = ""
        else:
            word += sign
    return [*found, word]


def test_a_unit_names_path_config_and_home_exactly(odd: Config, tmp_path: Path) -> None:
    unit = installation.write_unit(odd, tmp_path, {"PATH": "/usr/local/slurm/bin:/usr/bin"})
    lines = [line.partition("=") for line in unit.read_text().splitlines() if "=" in line]
    stated = [_words(value)[0] for name, _, value in lines if name == "Environment"]
    assert f"LOWTIDE_HOME={odd.home}" in stated
    assert "PATH=/usr/local/slurm/bin:/usr/bin" in stated
    (command,) = (_words(value) for name, _, value in lines if name == "ExecStart")
    assert [word.replace("$$", "$") for word in command[-3:]] == ["--config", str(odd.path), "up"]


def test_a_daemon_that_fails_is_started_again_for_ever_with_a_pause(
    odd: Config, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        unit = installation.write_unit(odd, tmp_path / "user", {})
    finally:
        os.umask(before)
    said = unit.read_text()
    head, service = said.split("[Service]")
    assert "StartLimitIntervalSec=0\n" in head, "systemd gives up after five starts in 10 s"
    assert "Restart=always\n" in service
    assert "RestartSec=10\n" in service
    assert unit.stat().st_mode & 0o777 == 0o600, "who may write it runs programs as us"
    assert all(p.stat().st_mode & 0o022 == 0 for p in (unit.parent, tmp_path / "user"))


def test_the_packaged_config_is_not_named(tmp_path: Path) -> None:
    plain = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    assert "--config" not in installation.cron_line(plain, {})


def test_keys_are_named_and_never_written(odd: Config, tmp_path: Path) -> None:
    environ = {"ELECTRICITY_MAPS_TOKEN": "hush", "PATH": "/bin"}
    assert installation.keys_left_out(odd, environ) == ["ELECTRICITY_MAPS_TOKEN"]
    assert "hush" not in installation.cron_line(odd, environ)
    assert "hush" not in installation.write_unit(odd, tmp_path, environ).read_text()

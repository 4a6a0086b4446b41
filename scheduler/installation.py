"""How the queue is looked after for good: a systemd user unit, or a crontab line."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from providers.files import make_folder, write_private
from scheduler.config_files import packaged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scheduler.config import Config

# What chooses the queue beside the config, and where engines are found: cron and systemd start
# with little else than /usr/bin:/bin.
CHOOSES = ("PATH", "LOWTIDE_DATABASE", "LOWTIDE_HOST")
# Before systemd starts the daemon again (s): after its own 0.1 s, an hour of failures would fill
# the log.
RESTART_S = 10


def write_unit(config: Config, user_home: Path, environ: Mapping[str, str]) -> Path:
    """A systemd user unit; jobs outlive a restart of the daemon (``KillMode=process``)."""
    unit = user_home / ".config/systemd/user/lowtide.service"
    make_folder(unit.parent)
    variables = (f"{name}={value}" for name, value in _environment(config, environ).items())
    # A dollar sign is a variable to ExecStart alone (systemd.service(5), "Command lines").
    command = " ".join(_quoted(part).replace("$", "$$") for part in (*_command(config), "up"))
    write_private(
        unit,
        "[Unit]\n"
        "Description=lowtide, carbon-aware job scheduler\n"
        # However often it fails: a database may be away for hours (systemd.unit(5)).
        "StartLimitIntervalSec=0\n"
        "\n"
        "[Service]\n"
        + "".join(f"Environment={_quoted(line)}\n" for line in variables)
        + f"ExecStart={command}\n"
        "KillMode=process\n"
        "Restart=always\n"
        f"RestartSec={RESTART_S}\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n",
    )
    return unit


def cron_line(config: Config, environ: Mapping[str, str]) -> str:
    """A crontab line that does one pass a minute; a bare % is a new line to cron (crontab(5))."""
    variables = _environment(config, environ).items()
    chosen = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables)
    return f"* * * * * {chosen} {shlex.join((*_command(config), 'tick'))}".replace("%", r"\%")


def keys_left_out(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Variables with keys that are set here: they are written into no file."""
    return sorted(name for name in config.key_variables if environ.get(name))


def _quoted(text: str) -> str:
    """One word of a unit file: quotes, and what systemd would fill in (systemd.unit(5), %)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _environment(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    chosen = {name: environ[name] for name in CHOOSES if environ.get(name)}
    return {"LOWTIDE_HOME": str(config.home), **chosen}


def _command(config: Config) -> tuple[str, ...]:
    program = (sys.executable, "-P", "-m", "scheduler")
    # A packaged file is found without a name, and gives way to a user's own once there is one.
    named = config.path != packaged()
    return (*program, "--config", str(config.path.resolve())) if named else program

"""``init``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from providers.errors import LowtideError
from providers.files import PRIVATE, make_folder
from scheduler.cli import options
from scheduler.cli.options import example, say
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from providers.hardware.detected import Detected

ASKED = "Grid zone of this machine (as Electricity Maps names zones: DE, SE-SE3, US-CAL-CISO)"


@click.command("init", epilog=example("lowtide init --zone DE"))
@click.option("--zone", metavar="ZONE", help="Grid zone of this machine; else it is asked for.")
@click.option("--no-hardware", is_flag=True, help="Leave out what this machine is made of.")
@click.option("-y", "--yes", is_flag=True, help="Take what is proposed; ask nothing.")
@click.option(
    "--out", metavar="FILE", help="Write there instead, e.g. lowtide.yaml: this folder's."
)
@click.option("--force", is_flag=True, help="Replace the file that is there.")
def init_command(
    zone: str | None, no_hardware: bool, yes: bool, out: str | None, force: bool
) -> None:
    """Write a configuration of your own: this machine's grid zone and hardware.

    It goes into your folder for configurations, and counts wherever no other file is nearer.
    """
    from providers.hardware.detected import detect
    from providers.meters.model import memory_gb
    from providers.meters.nvml import board_count, board_name
    from scheduler import config, config_files

    path = (Path.cwd() / Path(out).expanduser()) if out else config_files.users()
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: edit it, or replace it with --force")
    asks = sys.stdin.isatty() and not yes
    if zone is None and not asks:
        raise UsageError("the grid zone is not known and cannot be asked for: give it, --zone DE")
    zone = _asked() if zone is None else _checked(zone)
    found = None if no_hardware else detect(memory_gb(), board_count(), board=board_name())
    if found is not None:
        say(f"this machine: {found}")
        if asks and not click.confirm("Count embodied carbon by that?", default=True, err=True):
            found = None
    text = _text(zone, found)
    config.parse(text.encode(), path, Path.cwd())
    make_folder(path.parent)
    with options.written(path, mode=PRIVATE) as file:
        file.write(text)
    options.show(str(path))
    used = next(config_files.candidates(None, os.environ, Path.cwd())).path
    if used.resolve() != path.resolve():
        say(f"here, {used} comes before it (see `lowtide doctor`)")


def _checked(zone: str) -> str:
    """The zone, where one of the sources that need no key knows it."""
    from scheduler import config_files
    from scheduler.meter.place import place

    packaged = str(config_files.packaged())
    place(None, zone, config=packaged, environ=os.environ, cwd=Path.cwd())
    return zone


def _asked() -> str:
    while True:
        try:
            return _checked(click.prompt(ASKED, err=True).strip())
        except LowtideError as e:
            say(str(e))


def _text(zone: str, found: Detected | None) -> str:
    lines = [
        "# lowtide's configuration, written by `lowtide init`. It needs only what differs from the",
        "# defaults; README.md and docs/ name all keys.",
        "regions:",
        "  local: # this machine",
        # Quoted: a bare NO means false in YAML.
        f"    zone: {json.dumps(zone)}",
    ]
    if found is not None:
        lines += [
            f"    # As seen from within: {found}.",
            "    # Correct what is wrong; docs/hardware.md has other ways to say it.",
            f"    hardware: {json.dumps(found.hardware)}",
        ]
    return "\n".join(lines) + "\n"

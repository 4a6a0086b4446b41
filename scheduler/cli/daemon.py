"""``up`` and ``tick``."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from providers.errors import LowtideError
from scheduler.cli import options
from scheduler.cli.options import example, opened, say
from scheduler.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler.engine import Context


class _Tick(click.Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The crontab line of this installation, config and home, whole in one line."""
        from scheduler import installation

        try:
            loaded = options.loaded(ctx)
            line = installation.cron_line(loaded, os.environ)
        except LowtideError as e:
            line = f"none yet: {e}"
        formatter.write_paragraph()
        formatter.write(f"Example (a crontab line):\n{line}\n")


@click.command("tick", cls=_Tick)
@options.config_option
@click.pass_context
def tick_command(ctx: click.Context) -> None:
    """Do one pass: follow running jobs, plan, start what is due, settle what has ended."""
    from scheduler import engine

    now = options.utc_now()
    with opened(ctx) as context:
        try:
            due = engine.tick(context, now)
        except BusyError as e:
            say(str(e))
            return
        counts = ", ".join(f"{n} {state}" for state, n in context.store.jobs.count().items())
    say(f"{counts or 'no jobs'}; next start " + (f"{due:%Y-%m-%dT%H:%M:%SZ}" if due else "none"))


@click.command("up", epilog=example("lowtide up --install"))
@click.option("--install", is_flag=True, help="Write a systemd user unit, or print a cron line.")
@options.config_option
@click.pass_context
def up_command(ctx: click.Context, install: bool) -> None:
    """Run the daemon in the foreground: it starts jobs in their windows and settles them."""
    from scheduler import daemon

    if install:
        _install(ctx)
        return

    @contextmanager
    def opening() -> Iterator[Context]:
        with opened(ctx) as context:
            say(f"lowtide is up: home {context.config.home}, config {context.config.path}")
            yield context

    daemon.run(opening)


def _install(ctx: click.Context) -> None:
    from scheduler import installation

    loaded = options.loaded(ctx)
    if shutil.which("systemctl") and os.environ.get("XDG_RUNTIME_DIR"):
        unit = installation.write_unit(loaded, Path.home(), os.environ)
        say(f"wrote {unit}; start it now and at every login with:")
        options.show("systemctl --user daemon-reload && systemctl --user enable --now lowtide")
        say("to let it run while you are not logged in: loginctl enable-linger")
    else:
        say("no systemd user session here; add this line with `crontab -e`:")
        click.echo(installation.cron_line(loaded, os.environ))
    for name in installation.keys_left_out(loaded, os.environ):
        say(f"{name} is set here and is not written down: set it where the daemon starts, too")

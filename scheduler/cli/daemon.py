"""``up`` and ``tick``."""

from __future__ import annotations

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, say
from scheduler.errors import BusyError


@click.command("tick", epilog=example("* * * * * lowtide tick   (a crontab line)"))
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
    with opened(ctx) as context:
        say(f"lowtide is up: home {context.config.home}, config {context.config.path}")
        daemon.serve(context)


def _install(ctx: click.Context) -> None:
    import os
    import shutil
    from pathlib import Path

    from scheduler import config, daemon

    loaded = config.load(ctx.obj, os.environ, Path.cwd())
    if shutil.which("systemctl") and os.environ.get("XDG_RUNTIME_DIR"):
        unit = daemon.write_unit(loaded, Path.home(), os.environ)
        say(f"wrote {unit}; start it now and at every login with:")
        options.show("systemctl --user daemon-reload && systemctl --user enable --now lowtide")
    else:
        say("no systemd user session here; add this line with `crontab -e`:")
        click.echo(daemon.cron_line(loaded, os.environ))

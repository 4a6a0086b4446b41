"""``db upgrade``, ``db check``, ``db delete``, ``db backup``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler.cli import options
from scheduler.cli.options import example, print_json, say

if TYPE_CHECKING:
    from scheduler.address import Address


@click.group(
    "db",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("lowtide db check"),
)
@options.config_option
def db_command() -> None:
    """Upgrade, check, mend or back up the database."""


@db_command.command("upgrade", epilog=example("lowtide db upgrade"))
@options.config_option
@click.pass_context
def upgrade_command(ctx: click.Context) -> None:
    """Bring the database up to this version; once more is without effect.

    SQLite is brought up by any command. PostgreSQL may be shared with another version: stop
    lowtide on every machine first, and upgrade it there as well.
    """
    from scheduler.store import upkeep

    address = _address(ctx, make=True)
    done = upkeep.upgrade(address, os.environ, options.utc_now())
    for name in done:
        options.show(name)
    say(f"{address.shown}: " + (f"{len(done)} applied" if done else "nothing to do"))


@db_command.command("check", epilog=example("lowtide db check --json"))
@options.json_option
@options.config_option
@click.pass_context
def check_command(ctx: click.Context, as_json: bool) -> int:
    """Look for damage, rows that belong to nothing and missing migrations; change nothing.

    The exit code is 5 where something is wrong.
    """
    from scheduler.report import schema
    from scheduler.store import upkeep

    health = upkeep.check(_address(ctx), os.environ)
    if as_json:
        print_json(
            {
                "schema_version": schema.SCHEMA_VERSION,
                "database": health.database,
                "kind": health.kind,
                "ok": health.ok,
                "missing": list(health.missing),
                "unknown": list(health.unknown),
                "checks": [{"check": n, "ok": ok, "detail": d} for n, ok, d in health.findings],
            }
        )
    else:
        options.show(f"{health.kind} {health.database}")
        for name, ok, detail in health.findings:
            options.show(f"{'ok  ' if ok else 'bad '}  {name}: {detail}")
    return 0 if health.ok else 5


@db_command.command("delete", epilog=example("lowtide db delete job 3f2a91bc"))
@click.argument("table", metavar="TABLE")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@options.config_option
@click.pass_context
def delete_command(ctx: click.Context, table: str, keys: tuple[str, ...]) -> None:
    """Delete rows that cannot be read; `lowtide db check` names them by table and key.

    With a job (or series: recurrence) all rows that belong to it go. What can be read stays, and so
    does a job that may still run: cancel it first.
    """
    from scheduler.store import upkeep

    for key in keys:
        for line in upkeep.delete(_address(ctx), os.environ, table, key, options.utc_now()):
            options.show(f"deleted: {line}")


@db_command.command("backup", epilog=example("lowtide db backup lowtide-monday.db"))
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over FILE where it is there.")
@options.config_option
@click.pass_context
def backup_command(ctx: click.Context, target: Path, force: bool) -> None:
    """Write a consistent copy while everything goes on: a SQLite file, or pg_dump's format.

    Run folders are not in it: they lie in home, or in the folder of shared_runs.
    """
    from scheduler.store import upkeep

    address = _address(ctx)
    upkeep.backup(address, os.environ, target, force=force)
    say(f"{address.shown} is in {target} ({target.stat().st_size} bytes)")


def _address(ctx: click.Context, *, make: bool = False) -> Address:
    """The configured database, else the one in home, which is made with ``make``."""
    from scheduler import address, store

    loaded = options.loaded(ctx)
    if make:
        store.prepare(loaded.home)
    return loaded.database or address.in_home(loaded.home)

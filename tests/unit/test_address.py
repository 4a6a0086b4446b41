"""Where the database is: what may be written, and that no password is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import address, config
from scheduler.address import Address
from scheduler.errors import ConfigError
from scheduler.store import Store
from scheduler.store.postgres import Postgres

BASE = Path("/base")


def test_a_file_or_a_server() -> None:
    assert address.parse("sqlite:///q.db", BASE) == Address(path=BASE / "q.db")
    assert address.parse("sqlite:////var/q.db", BASE).shown == "/var/q.db"
    served = address.parse("postgresql+psycopg://me@db:5433/q?sslmode=require", BASE, "PW")
    assert served == Address(url="postgresql://me@db:5433/q?sslmode=require", password_env="PW")
    assert address.parse("postgres://db/q", BASE).shown == "postgresql://db/q"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://me:s3cret@db/q", "password"),
        ("postgresql://me@db/q?password=s3cret", "password"),
        ("postgresql://me@db/q?sslmode=require&sslpassword=s3cret", "password"),
        ("postgresql://db", "names no database"),
        ("postgresql://db:port/q", "no URL"),
        ("mysql://db/q", "'mysql'"),
        ("queue.db", "'nothing'"),
        ("sqlite://q.db", "three slashes"),
        ("sqlite:///", "three slashes"),
    ],
)
def test_any_other_text_is_refused_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        address.parse(text, BASE)
    assert "s3cret" not in str(caught.value)


def _load(folder: Path, text: str, **environ: str) -> config.Config:
    (folder / "config.yaml").write_text(text)
    return config.load(None, environ, folder)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    both = "database: {url: 'postgresql://db/file', password_env: QUEUE_PASSWORD}"
    assert _load(tmp_path, both).database == Address(
        url="postgresql://db/file", password_env="QUEUE_PASSWORD"
    )
    found = _load(tmp_path, both, LOWTIDE_DATABASE="postgresql://db/env").database
    assert found == Address(url="postgresql://db/env", password_env="QUEUE_PASSWORD")
    assert _load(tmp_path, "database: 'sqlite:///q.db'").database == Address(tmp_path / "q.db")
    assert _load(tmp_path, "").database is None


def test_a_password_in_the_config_is_a_config_error_that_does_not_show_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a password") as caught:
        _load(tmp_path, "database: 'postgresql://me:s3cret@db/q'")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="LOWTIDE_DATABASE holds a password"):
        _load(tmp_path, "", LOWTIDE_DATABASE="postgresql://me:s3cret@db/q")


def test_the_password_is_no_part_of_a_jobs_environment(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "database: {url: 'postgresql://db/q', password_env: QUEUE_PASSWORD}")
    assert {"PGPASSWORD", "QUEUE_PASSWORD"} <= loaded.key_variables
    assert "PGPASSWORD" in _load(tmp_path, "").key_variables


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    where = Address(url="postgresql://db/q", password_env="QUEUE_PASSWORD")
    with pytest.raises(ConfigError, match="QUEUE_PASSWORD, which is not set"):
        Store(tmp_path, datetime.now(UTC), where, {})


def test_a_password_is_cut_out_of_what_the_server_says() -> None:
    pytest.importorskip("psycopg")
    from psycopg import OperationalError
    from sqlalchemy.exc import OperationalError as Wrapped

    for dialect in (
        Postgres("postgresql://db/q", "s3cret", {}),
        Postgres("postgresql://db/q", None, {"PGPASSWORD": "s3cret"}),
    ):
        said = 'connection failed: password authentication failed for "s3cret"'
        error = dialect.explain(Wrapped("SELECT 1", {}, OperationalError(said)))
        assert "s3cret" not in str(error)
        assert "***" in str(error)
        assert "PGPASSWORD" in str(error)


def test_a_region_of_another_host_says_how_many_slots_it_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="host needs slots"):
        _load(tmp_path, "regions: {lab: {zone: DE, executor: local, host: lab1}}")

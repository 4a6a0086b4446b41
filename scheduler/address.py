"""Where the database is: a file of SQLite, or a URL of PostgreSQL that never holds a password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

POSTGRES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
# What libpq would take as a secret within a URL (PostgreSQL manual, "Database Connection Control
# Functions", parameter key words).
SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True)
class Address:
    """A database: ``path`` of a SQLite file, else ``url`` of a PostgreSQL database.

    ``password_env`` is the environment variable that holds its password; None: libpq looks for
    it itself (``PGPASSWORD``, ``~/.pgpass``).
    """

    path: Path | None = None
    url: str | None = None
    password_env: str | None = None

    @property
    def shown(self) -> str:
        """How messages name it."""
        return str(self.path) if self.url is None else self.url


def in_home(home: Path) -> Address:
    """The database of a home that names none."""
    return Address(path=home / "lowtide.db")


def parse(text: str, base_dir: Path, password_env: str | None = None) -> Address:
    """``sqlite:///FILE`` (relative to ``base_dir``), or ``postgresql://[USER@]HOST[:PORT]/DB``.

    Any other text, and a password in it, is a :class:`ValueError` that does not repeat it.
    """
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise ValueError(f"is no URL of a database: {_FORMS}") from None
    if parts.scheme == "sqlite":
        name = unquote(parts.path).removeprefix("/")
        if parts.netloc or not name or parts.query:
            raise ValueError("sqlite:///FILE has three slashes, four before an absolute path")
        return Address(path=base_dir / Path(name).expanduser())
    if parts.scheme not in POSTGRES:
        raise ValueError(f"starts with {parts.scheme or 'nothing'!r}: {_FORMS}")
    if parts.password is not None or SECRET_PARAMETERS & {n for n, _ in parse_qsl(parts.query)}:
        raise ValueError(
            "holds a password: leave it out of the URL and set PGPASSWORD, or the variable that "
            "password_env names, or use ~/.pgpass"
        )
    if not parts.path.strip("/"):
        raise ValueError(f"names no database: {_FORMS}")
    return Address(url="postgresql" + text.strip()[len(parts.scheme) :], password_env=password_env)


_FORMS = "write sqlite:///FILE or postgresql://USER@HOST/DATABASE"

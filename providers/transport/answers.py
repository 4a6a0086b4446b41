"""Answers kept on disk, for all processes of a home; requests-cache reads and writes them here.

One file for each answer, replaced in one move. (Its SQLite store waits without end for a lock
that another process holds, and its own files are written in place.)
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict
from requests_cache.backends.base import BaseCache
from requests_cache.backends.filesystem import FileDict
from requests_cache.models.response import CachedResponse

from providers.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable

# Long enough to be revalidated by its ETag after a holiday; older answers are of no use.
KEPT_S = 14 * 86_400.0
# What is needed to read a body and to ask whether it has changed. The rest may hold secrets.
KEPT_HEADERS = ("Content-Type", "ETag", "Last-Modified")

# It reports every unreadable file as an error; here such a file is an answer not stored.
logging.getLogger("requests_cache").setLevel(logging.CRITICAL)


class _Files(FileDict):
    """Answers as files; what cannot be read is absent, what cannot be written is not kept."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        make_folder(folder)
        super().__init__(folder, serializer="json")
        self._clock = clock

    def __getitem__(self, key: str) -> Any:
        try:
            found = super().__getitem__(key)
            whole = found.status_code == 200 and isinstance(found.content, bytes)
            age = self._clock() - found.created_at
        except Exception as e:  # whatever a hostile file makes its reader raise
            raise KeyError(key) from e
        if not whole or age.total_seconds() < 0:
            raise KeyError(key)
        return found

    def __setitem__(self, key: str, value: CachedResponse) -> None:
        kept = {name: value.headers[name] for name in KEPT_HEADERS if name in value.headers}
        value.headers = CaseInsensitiveDict(kept)
        value.request.headers = CaseInsensitiveDict()
        where = urlsplit(value.url)
        host = where.netloc.rpartition("@")[2]  # without the login of `user:password@host`
        value.url = value.request.url = where._replace(netloc=host, query="").geturl()
        value.history = []
        value.created_at = self._clock()
        with suppress(OSError):
            self._replace(f"{key}{self.extension}", self.serialize(value))
            self._forget_old()

    def _replace(self, name: str, content: str) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.cache_dir)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
            Path(temporary).replace(self.cache_dir / name)
        except BaseException:
            Path(temporary).unlink()
            raise

    def _forget_old(self) -> None:
        for path in Path(self.cache_dir).iterdir():
            if path.stat().st_mtime < time.time() - KEPT_S:
                path.unlink(missing_ok=True)


def kept_in(folder: Path, clock: Callable[[], datetime]) -> BaseCache:
    """The answers kept in ``folder``; where it cannot be written, none are kept."""
    cache = BaseCache()
    with suppress(OSError):
        cache.responses = _Files(folder, clock)
    return cache

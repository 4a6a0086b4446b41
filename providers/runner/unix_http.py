"""One question to a daemon that speaks HTTP on a Unix socket, bounded in time and size."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any

# The runner waits no longer for the daemon: it has a job to look after.
PATIENCE_S = 1.0
LONGEST_ANSWER_BYTES = 4 << 20


class _Connection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


def get(socket_path: str, path: str) -> Any:
    """The JSON that the daemon answers; None where it does not, or may not be asked."""
    try:
        with closing(_Connection(socket_path)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read(LONGEST_ANSWER_BYTES)
            return json.loads(content) if answer.status == 200 else None
    except (OSError, HTTPException, ValueError):
        return None

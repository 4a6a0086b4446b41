"""Whole bodies within a total time and size."""

from __future__ import annotations

import io
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from providers.errors import BadData

# A year of one zone in steps of five minutes is about 10 MB of JSON. More is no answer.
LARGEST_BYTES = 16 * 2**20
CHUNK_BYTES = 2**16
# An exchange whose connection is cut ends at once; how long a loaded machine may take for that.
ENDING_S = 2.0


class Bounded(HTTPAdapter):
    """Reads whole bodies, until :attr:`until` on the monotonic clock.

    The timeouts of requests are between two bytes, and none holds for the name service or for heads
    without end; so the exchange has a thread of its own, and when its time is over its connections
    are cut, whatever it reads. (Only a name service that says nothing is waited for in the
    background, for as long as the system's resolver does.)
    """

    until = 0.0

    def __init__(self) -> None:
        self._lines: list[socket.socket] = []
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connections whose lines are known."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same through a proxy of HTTP."""
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = self._pools()
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """One exchange; a redirect that is followed is another, within the same time."""
        done: Future[requests.Response] = Future()

        def exchange() -> None:
            try:
                done.set_result(self._whole(request, *args, **kwargs))
            except BaseException as e:  # noqa: BLE001  the asking thread raises it
                done.set_exception(e)

        thread = threading.Thread(target=exchange, daemon=True, name="lowtide-http")
        thread.start()
        try:
            return done.result(timeout=max(0.0, self.until - time.monotonic()))
        except TimeoutError:
            self._cut()
            thread.join(ENDING_S)
            raise

    def close(self) -> None:
        """End every connection."""
        self._cut()
        super().close()

    def _cut(self) -> None:
        while self._lines:
            line = self._lines.pop()
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _pools(self) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        """Kinds of pools whose connections can be cut, whoever reads from them."""
        adapter = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return adapter._noted(super()._new_conn())

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return adapter._noted(super()._new_conn())

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def _noted(self, line: socket.socket) -> socket.socket:
        """A new line, of which a handle is kept; TLS takes the line itself over."""
        if time.monotonic() > self.until:
            line.close()
            raise TimeoutError
        self._lines.append(line.dup())
        return line

    def _whole(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        live = super().send(request, *args, **(kwargs | {"stream": True}))
        try:
            body = _body(live.raw, self.until)
        finally:
            live.close()
        coded = {"content-encoding", "transfer-encoding", "content-length"}
        headers = {k: v for k, v in live.headers.items() if k.lower() not in coded}
        raw = urllib3.HTTPResponse(
            io.BytesIO(body), headers, live.status_code, reason=live.reason, preload_content=False
        )
        return self.build_response(request, raw)


def _body(raw: urllib3.HTTPResponse, until: float) -> bytes:
    """Piece by piece as they come, so that the time and the size are seen in between."""
    body = bytearray()
    while piece := raw.read1(CHUNK_BYTES, decode_content=True):
        body += piece
        if len(body) > LARGEST_BYTES:
            raise BadData(f"answers with more than {LARGEST_BYTES >> 20} MB")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)

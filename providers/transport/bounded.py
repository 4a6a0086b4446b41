"""Whole bodies within a total time and size."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import Future
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from providers.errors import BadData

# A year of one zone in steps of five minutes is about 10 MB of JSON. More is no answer.
LARGEST_BYTES = 64 * 2**20
CHUNK_BYTES = 2**16


class Bounded(HTTPAdapter):
    """Reads whole bodies, until :attr:`until` on the monotonic clock.

    The timeouts of requests are between two bytes, and none holds for the name service; so the
    exchange has a thread of its own, that is left alone when its time is over.
    """

    until = 0.0

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """One exchange; a redirect that is followed is another, within the same time."""
        done: Future[requests.Response] = Future()

        def exchange() -> None:
            try:
                done.set_result(self._whole(request, *args, **kwargs))
            except BaseException as e:  # noqa: BLE001  the asking thread raises it
                done.set_exception(e)

        threading.Thread(target=exchange, daemon=True, name="lowtide-http").start()
        return done.result(timeout=max(0.0, self.until - time.monotonic()))

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

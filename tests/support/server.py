"""A local HTTP server that plays a source of carbon data, with its faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it; ``query`` holds the last value of each key."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    verb: str = "GET"
    body: str = ""


@dataclass(frozen=True)
class Reply:
    """An answer; ``delay_s`` passes before the head, ``stall_s`` within the body.

    With ``drip_s`` that long passes before each byte of the body. ``length`` is declared in place
    of the body's own; a larger one makes a body that is cut off.
    """

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay_s: float = 0.0
    stall_s: float = 0.0
    drip_s: float = 0.0
    length: int | None = None


Play = Callable[[Asked], Reply]


class SourceServer:
    """Answers every request by ``play``, which a test may replace at any time."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.asked: list[Asked] = []
        self._leave = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                headers = dict(self.headers.items())
                asked = Asked(parts.path, query, headers, self.command, body)
                outer.asked.append(asked)
                outer._send(self, outer.play(asked))

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        length = len(body) if reply.length is None else reply.length
        try:
            self._leave.wait(reply.delay_s)
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(length))
            handler.end_headers()
            half = len(body) // 2 if reply.stall_s else len(body)
            self._write(handler, body[:half], reply.drip_s)
            self._leave.wait(reply.stall_s)
            self._write(handler, body[half:], reply.drip_s)
            if length != len(body):
                handler.close_connection = True
        except OSError:
            handler.close_connection = True

    def _write(self, handler: BaseHTTPRequestHandler, part: bytes, drip_s: float) -> None:
        step = 1 if drip_s else max(1, len(part))
        for i in range(0, len(part), step):
            self._leave.wait(drip_s)
            handler.wfile.write(part[i : i + step])
            handler.wfile.flush()

    def close(self) -> None:
        """Stop; whoever still waits for an answer gets none."""
        self._leave.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

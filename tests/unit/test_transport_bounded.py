"""What a hostile source can cost: its question ends, its body is bounded before it is built."""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asking import HASTY, JSON, Clock, Serve, always, door
from support.clock import NOW
from support.server import Reply

from providers.errors import BadData, NotAsked, Unavailable
from providers.surroundings import Surroundings
from providers.transport import Answer, Http, bodies
from providers.transport.question import words

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# What is sent first, and what again and again after it.
ENDLESS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of 100 Continue": (b"HTTP/1.1 100 Continue\r\n", b"X-A: b\r\n"),
    "headers": (HEAD, b"X-A: b\r\n"),
    "a header line": (HEAD + b"X-A: ", b"b"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
    "chunk extensions": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a=b;"),
    "empty chunks of nothing": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "silence": (b"", b""),
}


@pytest.fixture
def hostile() -> Iterator[Callable[[bytes, bytes], str]]:
    """Servers that never finish; each is the host and port of one."""
    over, listeners = threading.Event(), []

    def talk(line: socket.socket, first: bytes, then: bytes) -> None:
        with suppress(OSError), line:
            line.sendall(first)
            while not over.wait(0.0 if len(then) > 1 else 0.02):
                line.sendall(then)

    def start(first: bytes, then: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    threading.Thread(target=talk, args=(line, first, then), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_question_that_outlives_its_time_ends_with_its_thread(
    name: str, scheme: str, tmp_path: Path, hostile: Callable[[bytes, bytes], str]
) -> None:
    url = f"{scheme}://{hostile(*ENDLESS[name])}/x"
    with pytest.raises((Unavailable, BadData)):
        door(tmp_path, Clock(), replace(HASTY, tries=1)).get(url)
    left = [thread for thread in threading.enumerate() if thread.name == "lowtide-http"]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "unicode_escape", "uu", "utf-32"])
def test_a_charset_that_no_source_writes_is_not_decoded(
    charset: str, serve: Serve, tmp_path: Path
) -> None:
    """Python decodes some of them in quadratic time."""
    headers = {"Content-Type": f"text/csv; charset={charset}"}
    server = serve(always(Reply("+AGE-a-b3d\\u0041", headers=headers)))
    http = door(tmp_path, Clock())
    assert http.get(server.url).text == "+AGE-a-b3d\\u0041"
    assert http.get(server.url).text == "+AGE-a-b3d\\u0041"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[" + "[]," * 600_000 + "[]]", "JSON of more than 1000000 items"),
        ("[" + '{"a":1},' * 600_000 + "1]", "JSON of more than 1000000 items"),
        ("[" + "0," * 1_000_001 + "0]", "JSON of more than 1000000 items"),
        ("]" * 1_000_001, "JSON of more than 1000000 items"),
        ("[" * 65 + "]" * 65, "JSON nested more than 64 deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "JSON nested more than 64 deep"),
    ],
)
def test_json_that_holds_too_much_is_refused_before_it_is_built(text: str, found: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadData, match=rf"tides answered {found} at a\.b/c"):
            Answer("tides", text, NOW, "a.b/c").json()
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert words(text)[:1] in {"", text[0]}


def test_the_largest_honest_answer_is_read() -> None:
    """A year of records in steps of five minutes."""
    record = {"Minutes5UTC": "2026-01-01T00:00:00", "a": "DK1", "b": None, "CO2Emission": 100.5}
    text = f"[{','.join([json.dumps(record)] * 105_120)}]"
    assert len(bodies.parsed(text)) == 105_120


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text('a[]{},\\"', max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=12,
    )
)
def test_ordinary_json_is_what_it_is(value: object) -> None:
    assert bodies.parsed(json.dumps(value)) == value


def test_a_pass_has_a_total_of_patience(serve: Serve, tmp_path: Path) -> None:
    """A question whose time could end after it is not put."""
    server, clock = serve(always(Reply('{"g": 1}', headers=JSON))), Clock()
    end = NOW + timedelta(seconds=60)
    here = Surroundings(tmp_path, tmp_path / "cache", clock=clock, asks_until=lambda: end)
    http = Http(HASTY, here, clock=clock, sleep=clock.pass_s)
    assert http.get(server.url, ttl_s=0).json() == {"g": 1}
    clock.pass_s(60 - 2 * HASTY.timeout_s + 0.01)
    with pytest.raises(NotAsked, match="all the time that a pass has"):
        http.get(server.url, ttl_s=0)
    assert len(server.asked) == 1

"""One question to a source: what its answers and refusals become."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.asking import (
    CALM,
    HASTY,
    JSON,
    KEY,
    TOKEN,
    Clock,
    Serve,
    always,
    door,
    fine,
)
from support.clock import NOW
from support.faults import FAULTS, PAGE
from support.server import Asked, Reply

from providers.errors import (
    AccessDenied,
    BadData,
    LowtideError,
    NoData,
    SettingsError,
    Unavailable,
)
from providers.transport import Answer, Http, bounded, contact
from providers.transport.question import Question, words


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def http(tmp_path: Path, clock: Clock) -> Http:
    return door(tmp_path, clock)


# --- answers --------------------------------------------------------------------------


def test_an_answer_says_when_and_where_the_source_was_asked(http: Http, serve: Serve) -> None:
    server = serve(fine)
    answer = http.get(f"{server.url}/now", params={"zone": "DE", "n": 2}, headers={"X-A": "b"})
    assert answer == Answer("tides", '{"g": 42}', NOW, "127.0.0.1/now")
    assert answer.json() == {"g": 42}
    asked = server.asked[0]
    assert asked.query == {"zone": "DE", "n": "2"}
    assert asked.headers["User-Agent"].startswith("lowtide/")
    assert asked.headers["X-A"] == "b"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty body"),
        (" \n", "empty body"),
        (PAGE, "HTML"),
        ('{"a": ', "broken JSON"),
        ('{"a": NaN}', "broken JSON"),
        ("[-Infinity]", "broken JSON"),
        ("[" * 100_000, "JSON nested more than 64 deep"),
        ("9" * 10_000, "broken JSON"),
    ],
)
def test_what_is_no_json_is_bad_data(text: str, found: str) -> None:
    with pytest.raises(BadData, match=rf"tides answered .*{found} at a.b/c"):
        Answer("tides", text, NOW, "a.b/c").json()


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("{}", "application/json", "{}"),
        ("Zürich".encode(), "text/csv", "Zürich"),
        ("Zürich".encode("latin-1"), "text/csv; charset=ISO-8859-1", "Zürich"),
        ("Zürich".encode(), "text/csv; charset=no-such", "Zürich"),
        (b"\xff!", "text/csv", "\ufffd!"),
    ],
)
def test_a_body_is_read_in_its_charset_else_in_utf8(
    http: Http, serve: Serve, body: bytes, content_type: str, text: str
) -> None:
    server = serve(always(Reply(body, headers={"Content-Type": content_type})))
    assert http.get(server.url).text == text
    assert http.get(server.url).text == text
    assert len(server.asked) == 1


def test_a_mark_before_json_is_no_part_of_it() -> None:
    assert Answer("tides", "\ufeff[1]", NOW).json() == [1]


def test_a_compressed_body_is_unpacked(http: Http, serve: Serve) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    server = serve(always(Reply(gzip.compress(b'{"g": 1}'), headers=headers)))
    assert http.get(server.url).json() == {"g": 1}
    assert http.get(server.url).json() == {"g": 1}
    server.play = always(Reply(b"no gzip", headers=headers))
    with pytest.raises(BadData, match="tides answered in a broken encoding"):
        http.get(server.url, ttl_s=0)


# --- refusals and faults --------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_error(name: str, serve: Serve, tmp_path: Path, clock: Clock) -> None:
    server = serve(FAULTS[name](fine))
    http = door(tmp_path, clock, HASTY if FAULTS[name].slow else CALM)
    begun = time.monotonic()
    with pytest.raises(FAULTS[name].error) as raised:
        http.get(f"{server.url}/x").json()
    assert time.monotonic() - begun < 20
    assert type(raised.value) is FAULTS[name].error
    said = str(raised.value)
    assert said.isprintable()
    assert said.startswith("tides ")
    assert "127.0.0.1/x" in said
    assert "<" not in said
    # Nothing of it is kept: the next question is asked.
    server.play = fine
    clock.pass_s(4000)
    assert door(tmp_path, clock).get(f"{server.url}/x").json() == {"g": 42}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, BadData),
        (304, BadData),
        (402, AccessDenied),
        (405, BadData),
        (407, Unavailable),
        (408, Unavailable),
        (410, NoData),
        (418, BadData),
        (422, NoData),
        (425, Unavailable),
        (451, BadData),
        (502, Unavailable),
        (599, Unavailable),
    ],
)
def test_every_status_has_its_error(
    http: Http, serve: Serve, status: int, error: type[LowtideError]
) -> None:
    server = serve(always(Reply("", status)))
    with pytest.raises(error, match=rf"tides .*\({status} at 127.0.0.1\)") as raised:
        http.get(server.url)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("'xx' is no country\nat line 3", "'xx' is no country"),
        ('{"error": {"code": "400", "message": "bad time"}}', "bad time"),
        ('{"detail": [{"loc": ["q"], "description": "too far"}]}', "too far"),
        ('{"errors": ["one", "two"]}', "one"),
        ('{"error": "Invalid", "message": "no scope"}', "no scope"),
        ('{"code": 7}', '{"code": 7}'),
        ('"  quoted  "', "quoted"),
        (PAGE, ""),
        ("  \n", ""),
        ("\x1b[31mred\x07", "[31mred"),
        ('{"message": null}', '{"message": null}'),
    ],
)
def test_a_refusal_gives_the_first_line_of_the_source_s_own_words(body: str, said: str) -> None:
    assert words(body) == said


def test_words_are_cut_after_the_keys_are_blotted_out() -> None:
    question = Question("tides", "http://a.b", {"api_key": KEY}, {})
    assert question.words_of("x" * 195 + KEY) == "x" * 195 + "***"
    assert question.words_of(json.dumps({"message": "y" * 300})) == "y" * 200


def test_a_refusal_says_what_was_asked_and_what_was_found(http: Http, serve: Serve) -> None:
    server = serve(always(Reply("no such zone", 404)))
    with pytest.raises(NoData) as raised:
        http.get(f"{server.url}/v1/zone")
    assert str(raised.value) == "tides has nothing (404 at 127.0.0.1/v1/zone): no such zone"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:1/x", "connection refused (127.0.0.1/x)"),
        ("http://no-such-host.invalid/x", "no such host (no-such-host.invalid/x)"),
    ],
)
def test_who_cannot_be_reached_is_unavailable(http: Http, url: str, found: str) -> None:
    with pytest.raises(Unavailable) as raised:
        http.get(url)
    assert str(raised.value) == f"tides does not answer: {found}"


def test_plain_words_to_a_secure_door_are_no_secure_connection(http: Http, serve: Serve) -> None:
    url = serve(fine).url.replace("http:", "https:")
    with pytest.raises(Unavailable, match=r"no secure connection \(TLS\)"):
        http.get(url)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("gopher://a.b", {}),
        ("no url", {}),
        ("http://[1", {}),
        ("http://a.b:port", {}),
        ("http://127.0.0.1:1", {"auth-token": f"{TOKEN}\n"}),
        ("http://127.0.0.1:1", {"auth-token": f"{TOKEN}\N{SNOWMAN}"}),
    ],
)
def test_what_cannot_be_asked_is_a_matter_of_settings(
    http: Http, url: str, headers: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match="tides cannot be asked") as raised:
        http.get(url, headers=headers)
    assert TOKEN not in str(raised.value)


def test_a_body_beyond_all_measure_is_not_read(
    http: Http, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "LARGEST_BYTES", 2**20)
    server = serve(always(Reply("x" * (2**20 + 1))))
    with pytest.raises(BadData, match=r"tides answers with more than 1 MB \(127.0.0.1\)"):
        http.get(server.url)
    bomb = gzip.compress(b" " * (2**20 + 1))
    server.play = always(Reply(bomb, headers={**JSON, "Content-Encoding": "gzip"}))
    with pytest.raises(BadData, match="more than 1 MB"):
        http.get(server.url)
    server.play = always(Reply(f'"{"x" * (2**20 - 2)}"'))
    assert len(http.get(server.url).text) == 2**20


def test_a_name_service_that_says_nothing_takes_no_longer_than_a_try(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver's own patience is none of requests' timeouts."""
    over = threading.Event()

    def silent(*args: object, **kwargs: object) -> Any:
        over.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    begun = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="no whole answer within"):
            door(tmp_path, clock, HASTY).get("http://silent.invalid")
    finally:
        over.set()
    assert time.monotonic() - begun < 15
    for thread in threading.enumerate():
        if thread.name == "lowtide-http":
            thread.join(10)


# --- where a question goes ------------------------------------------------------------


def test_a_redirect_on_the_same_host_is_followed_and_its_answer_kept(
    http: Http, serve: Serve
) -> None:
    def play(asked: Asked) -> Reply:
        return Reply("", 301, {"Location": "/new?zone=DE"}) if asked.path == "/old" else fine(asked)

    server = serve(play)
    headers = {"auth-token": TOKEN}
    assert http.get(f"{server.url}/old", headers=headers).json() == {"g": 42}
    assert server.asked[1].headers["auth-token"] == TOKEN
    assert http.get(f"{server.url}/old", headers=headers).json() == {"g": 42}
    assert [a.path for a in server.asked] == ["/old", "/new"]


def test_a_redirect_elsewhere_is_refused_before_a_key_can_go_there(
    http: Http, serve: Serve
) -> None:
    there = serve(fine)
    here = serve(always(Reply("", 302, {"Location": f"{there.url}/x?api_key={TOKEN}"})))
    with pytest.raises(BadData, match="not followed") as raised:
        http.get(here.url, headers={"auth-token": TOKEN}, params={"api_key": TOKEN})
    assert there.url in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert there.asked == []


@pytest.mark.parametrize("where", ["http://a:99999/", "http://[1", "ftp://127.0.0.1/", "//b.c/"])
def test_a_redirect_to_nowhere_is_bad_data(http: Http, serve: Serve, where: str) -> None:
    server = serve(always(Reply("", 302, {"Location": where})))
    with pytest.raises(BadData, match=r"tides redirects to .*not followed"):
        http.get(server.url)


def test_redirects_take_no_longer_than_one_try(serve: Serve, tmp_path: Path, clock: Clock) -> None:
    server = serve(always(Reply("", 302, {"Location": "/again"}, delay_s=0.2)))
    with pytest.raises(Unavailable, match=r"no whole answer within 0\.3 s"):
        door(tmp_path, clock, replace(HASTY, tries=1)).get(server.url)


def test_redirects_in_circles_end(http: Http, serve: Serve) -> None:
    server = serve(always(Reply("", 302, {"Location": "/again"})))
    with pytest.raises(BadData, match="in circles"):
        http.get(server.url)


def test_the_proxy_of_the_environment_is_asked(
    http: Http, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(fine)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "")
    assert http.get("http://tides.invalid/x").json() == {"g": 42}
    assert proxy.asked[0].headers["Host"] == "tides.invalid"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="proxy"):
        http.get("http://tides.invalid/x", ttl_s=0)


def test_a_netrc_file_gives_no_key(
    http: Http, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys come from the surroundings alone; requests would replace a bearer token by it."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(fine)
    http.get(f"{server.url}/1")
    http.get(f"{server.url}/2", headers={"Authorization": "Bearer mine"})
    assert [a.headers.get("Authorization") for a in server.asked] == [None, "Bearer mine"]


# --- tries ----------------------------------------------------------------------------


def test_a_hiccup_is_tried_again_after_a_pause_with_jitter(
    http: Http, serve: Serve, clock: Clock, tmp_path: Path
) -> None:
    replies = iter([Reply("", 500), Reply("", 503), Reply("7")])
    server = serve(lambda asked: next(replies))
    assert http.get(server.url).json() == 7
    assert len(server.asked) == 3
    assert len(set(clock.slept_s)) == 2
    assert all(0.5 <= s <= 5 for s in clock.slept_s)
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert (met.last_success, met.last_failure) == (clock.now, None)


def test_what_will_not_change_is_not_tried_again(http: Http, serve: Serve) -> None:
    for status in (204, 400, 401, 403, 404, 405, 422):
        server = serve(always(Reply("", status)))
        with pytest.raises(LowtideError):
            http.get(server.url)
        assert len(server.asked) == 1


def test_tries_are_bounded(tmp_path: Path, serve: Serve, clock: Clock) -> None:
    server = serve(always(Reply("", 500)))
    with pytest.raises(Unavailable):
        door(tmp_path, clock, replace(CALM, tries=4)).get(server.url)
    assert len(server.asked) == 4
    assert len(clock.slept_s) == 3


def test_a_short_retry_after_is_kept(tmp_path: Path, serve: Serve, clock: Clock) -> None:
    date = f"{NOW + timedelta(seconds=7 + 5):%a, %d %b %Y %H:%M:%S GMT}"
    replies = iter([Reply("", 429, {"Retry-After": "7"}), Reply("", 503, {"Retry-After": date})])
    server = serve(lambda asked: next(replies, Reply("1")))
    assert door(tmp_path, clock, replace(CALM, timeout_s=10)).get(server.url).json() == 1
    assert clock.slept_s == [7, 5]


@pytest.mark.parametrize("said", ["soon", "0", "-5", "1e3", "Mon, 99 Foo", "9" * 5000, "٣", ""])
def test_a_retry_after_that_is_none_is_no_reason_to_wait_longer(
    http: Http, serve: Serve, clock: Clock, said: str
) -> None:
    headers = {"Retry-After": said} if said.isascii() else {"Retry-After": "\xb3"}
    replies = iter([Reply("", 429, headers)])
    server = serve(lambda asked: next(replies, Reply("1")))
    assert http.get(server.url).json() == 1
    assert 0.5 <= sum(clock.slept_s) <= 5


def test_an_hour_s_patience_is_not_waited_for_but_told(
    http: Http, serve: Serve, clock: Clock
) -> None:
    server = serve(always(Reply("slow down", 429, {"Retry-After": "3600"})))
    with pytest.raises(Unavailable) as raised:
        http.get(server.url)
    assert str(raised.value) == (
        "tides does not answer now (429 at 127.0.0.1): slow down; not asked again before 09:20:00Z"
    )
    assert (len(server.asked), clock.slept_s) == (1, [])


def test_the_transport_loads_no_requests_until_it_asks(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from providers.surroundings import Surroundings\n"
        "from providers.transport import Http, Policy, contact\n"
        "Http(Policy('tides', 1, 1, 1), Surroundings.at(Path(sys.argv[1])))\n"
        "contact('tides', Path(sys.argv[1]))\n"
        "print({'requests', 'urllib3', 'requests_cache', 'tenacity'} & set(sys.modules))"
    )
    argv = [sys.executable, "-P", "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

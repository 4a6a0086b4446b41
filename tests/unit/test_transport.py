"""One question to a source: what its answers and refusals become, what is kept of them."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.asking import CALM, HASTY, Clock, door
from support.clock import NOW
from support.faults import FAULTS, HTML, PAGE
from support.server import Asked, Play, Reply, SourceServer

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

JSON = {"Content-Type": "application/json"}
KEY, TOKEN = "k3y-of+a test", "t0ken/of-a-test"
Serve = Callable[[Play], SourceServer]


def fine(asked: Asked) -> Reply:
    return Reply('{"g": 42}')


def always(reply: Reply) -> Play:
    return lambda asked: reply


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def http(tmp_path: Path, clock: Clock) -> Http:
    return door(tmp_path, clock)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


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
        ("[" * 100_000, "broken JSON"),
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


# --- the store of answers -------------------------------------------------------------


def test_a_young_answer_is_not_asked_for_again(http: Http, serve: Serve, clock: Clock) -> None:
    server = serve(fine)
    url = f"{server.url}/now"
    first = http.get(url, params={"zone": "DE"})
    clock.pass_s(1799)
    assert http.get(url, params={"zone": "DE"}) == first
    assert http.get(f"{url}?zone=DE") == first
    assert len(server.asked) == 1
    clock.pass_s(1)
    assert http.get(url, params={"zone": "DE"}).asked_at == clock.now
    assert http.get(url, params={"zone": "FR"}).asked_at == clock.now
    assert len(server.asked) == 3


def test_a_caller_may_want_it_younger_and_refreshes_it_for_all(
    http: Http, serve: Serve, clock: Clock
) -> None:
    server = serve(fine)
    http.get(server.url)
    clock.pass_s(60)
    assert http.get(server.url, ttl_s=61).asked_at == NOW
    assert http.get(server.url, ttl_s=0).asked_at == clock.now
    assert http.get(server.url, ttl_s=0).asked_at == clock.now
    assert http.get(server.url).asked_at == clock.now
    assert len(server.asked) == 3


@pytest.mark.parametrize("vary", [{}, {"Vary": "auth-token, Accept"}])
def test_an_unchanged_answer_is_asked_for_by_its_etag_and_young_again(
    http: Http, serve: Serve, clock: Clock, vary: dict[str, str]
) -> None:
    def play(asked: Asked) -> Reply:
        unchanged = asked.headers.get("If-None-Match") == '"v1"'
        headers = {**JSON, **vary, "ETag": '"v1"'}
        return Reply("", 304, headers) if unchanged else Reply('{"g": 42}', headers=headers)

    server = serve(play)
    headers = {"auth-token": TOKEN}
    for _ in range(3):
        answer = http.get(server.url, headers=headers)
        assert (answer.json(), answer.asked_at) == ({"g": 42}, clock.now)
        clock.pass_s(1800)
    assert [a.headers.get("If-None-Match") for a in server.asked] == [None, '"v1"', '"v1"']
    clock.pass_s(-1)
    assert http.get(server.url, headers=headers).json() == {"g": 42}
    assert len(server.asked) == 3


def test_a_changed_answer_replaces_the_old_one(http: Http, serve: Serve, clock: Clock) -> None:
    server = serve(always(Reply('"old"', headers={**JSON, "ETag": '"v1"'})))
    http.get(server.url)
    server.play = always(Reply('"new"', headers={**JSON, "ETag": '"v2"'}))
    assert http.get(server.url).json() == "old"
    clock.pass_s(1800)
    assert http.get(server.url).json() == "new"
    assert http.get(server.url).json() == "new"
    assert len(server.asked) == 2


def test_an_answer_too_old_is_not_served_when_its_source_is_gone(
    http: Http, serve: Serve, clock: Clock
) -> None:
    server = serve(always(Reply('"old"', headers={**JSON, "ETag": '"v1"'})))
    http.get(server.url)
    clock.pass_s(1800)
    server.play = always(Reply("", 500))
    with pytest.raises(Unavailable):
        http.get(server.url)


def test_what_comes_from_the_future_is_asked_for(http: Http, serve: Serve, clock: Clock) -> None:
    """A clock was set back: nobody knows how old the answer is."""
    server = serve(fine)
    http.get(server.url)
    clock.pass_s(-60)
    assert http.get(server.url).asked_at == clock.now


def test_a_login_is_neither_kept_nor_taken_from_what_is_kept(
    http: Http, serve: Serve, tmp_path: Path
) -> None:
    server = serve(always(Reply(json.dumps({"token": TOKEN}))))
    for _ in range(2):
        assert http.get(f"{server.url}/login", auth=("me", KEY)).json() == {"token": TOKEN}
    assert len(server.asked) == 2
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    assert [p.parent.name for p in files(tmp_path)] == ["contact"]


def test_answers_are_for_their_owner_s_eyes(http: Http, serve: Serve, tmp_path: Path) -> None:
    http.get(serve(fine).url)
    folders = [p for p in tmp_path.rglob("*") if p.is_dir()]
    assert {p.name for p in folders} == {"cache", "contact", "answers"}
    assert {p.stat().st_mode & 0o777 for p in folders} == {0o700}
    assert {p.stat().st_mode & 0o777 for p in files(tmp_path)} == {0o600}


def test_old_answers_are_forgotten(http: Http, serve: Serve, tmp_path: Path) -> None:
    server = serve(fine)
    http.get(f"{server.url}/1")
    (old,) = (tmp_path / "cache" / "answers").iterdir()
    long_ago = time.time() - timedelta(days=30).total_seconds()
    os.utime(old, (long_ago, long_ago))
    http.get(f"{server.url}/2")
    (young,) = (tmp_path / "cache" / "answers").iterdir()
    assert young != old


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"status_code": 200}', b"[" * 100_000, b"null",
     b'{"status_code": 200, "headers": 5, "created_at": "x"}',
     b'{"status_code": 200, "_content": "A", "created_at": "2026-03-02T08:20:00"}'],
)  # fmt: skip
def test_a_torn_or_hostile_answer_is_none(
    http: Http, serve: Serve, tmp_path: Path, content: bytes
) -> None:
    server = serve(fine)
    http.get(server.url)
    (kept,) = (tmp_path / "cache" / "answers").iterdir()
    kept.write_bytes(content)
    assert http.get(server.url).json() == {"g": 42}
    assert len(server.asked) == 2
    assert http.get(server.url).json() == {"g": 42}
    assert len(server.asked) == 2


@pytest.mark.parametrize("broken", ["cache", "cache/answers", "cache/contact"])
def test_without_a_place_for_its_cache_it_still_asks(
    http: Http, serve: Serve, tmp_path: Path, broken: str
) -> None:
    """A file stands in the way, which stops every user, root too."""
    (tmp_path / broken).parent.mkdir(exist_ok=True)
    (tmp_path / broken).write_text("in the way")
    server = serve(fine)
    assert http.get(server.url).json() == {"g": 42}
    server.play = always(Reply("", 404))
    with pytest.raises(NoData):
        http.get(server.url, ttl_s=0)


def test_a_disk_without_room_keeps_nothing_and_breaks_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve(fine)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from providers.surroundings import Surroundings\n"
        "from providers.transport import Http, Policy\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))\n"
        "http = Http(Policy('tides', 1800, 1000, 1), Surroundings.at(Path(sys.argv[2])))\n"
        "print([http.get(sys.argv[1]).json()['g'] for _ in range(2)])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)"
    )
    argv = [sys.executable, "-B", "-P", "-W", "error", "-c", code, server.url, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[42, 42]\n", "")
    assert [p for p in files(tmp_path) if p.stat().st_size] == []


# --- secrets --------------------------------------------------------------------------


def test_no_key_stands_in_a_message_a_log_a_traceback_or_a_file(
    tmp_path: Path, serve: Serve, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asks: list[dict[str, Any]] = [
        {"params": {"api_key": KEY, "zone": "DE"}, "headers": {"auth-token": TOKEN}},
        {"params": {"securityToken": KEY}, "headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"params": {"API-Key": KEY}, "headers": {"X-Api-Key": TOKEN}},
        {"headers": {"AUTH-TOKEN": TOKEN}, "auth": (KEY, TOKEN)},
    ]

    def echo(status: int) -> Play:
        def play(asked: Asked) -> Reply:
            told = f"you asked {dict(asked.query)} {dict(asked.headers)} {KEY} {TOKEN}"
            return Reply(json.dumps({"message": told}), status, {**JSON, "X-Echo": TOKEN})

        return play

    etag = {**JSON, "ETag": '"v1"', "Set-Cookie": f"session={TOKEN}", "X-Echo": TOKEN}
    plays = [echo(200), echo(400), echo(401), echo(500), always(Reply("1", headers=etag))]
    plays += [FAULTS[name](fine) for name in ("body cut off", "broken JSON")]
    # A header that is none hides the length, so that the body has no end.
    endless = always(Reply("1", headers={**JSON, "Malformed Header": "x"}))
    slow = [FAULTS["slow body"](fine), endless]
    server = serve(fine)
    said = []
    for i, play in enumerate([*plays, *slow]):
        for how in asks:
            server.play = play
            # A source each, so that no breaker opens.
            patience = HASTY if play in slow else CALM
            policy = replace(patience, source=f"tides {len(said)}", tries=1)
            try:
                door(tmp_path, clock, policy).get(f"{server.url}/{i}?token={KEY[:5]}{i}", **how)
                said.append("")
            except LowtideError as e:
                said.append("".join(traceback.format_exception(e)))
            server.play = fine
    for url in ("http://127.0.0.1:1", "http://no-such.invalid", "gopher://a"):
        with pytest.raises(LowtideError) as raised:
            door(tmp_path, clock, replace(CALM, source=url, tries=1)).get(url, **asks[0])
        said.append("".join(traceback.format_exception(raised.value)))
    kept = [path.read_text() for path in files(tmp_path)]
    assert len(kept) > len(plays)
    everything = "\n".join([*said, caplog.text, *kept, *map(str, files(tmp_path))])
    for secret in (KEY, TOKEN, "k3y-of%2Ba+test", "k3y-of%2Ba%20test", "t0ken%2Fof-a-test"):
        assert secret not in everything
    assert "***" in everything


def test_an_answer_that_repeats_the_key_is_given_but_not_kept(
    http: Http, serve: Serve, tmp_path: Path
) -> None:
    """A body is kept in a coded form, so the files themselves would not tell."""
    server = serve(always(Reply(json.dumps({"request": {"api_key": KEY}}))))
    for _ in range(2):
        assert KEY in http.get(server.url, params={"api_key": KEY}).text
    assert len(server.asked) == 2
    assert list((tmp_path / "cache" / "answers").iterdir()) == []


def test_an_answer_is_shared_whichever_key_asked(http: Http, serve: Serve) -> None:
    server = serve(fine)
    http.get(server.url, params={"api_key": KEY, "zone": "DE"}, headers={"auth-token": TOKEN})
    http.get(server.url, params={"api_key": "other", "zone": "DE"})
    assert len(server.asked) == 1


@pytest.mark.parametrize(("body", "headers"), [(PAGE, HTML), ("", JSON), ('{"a"', JSON)])
def test_what_cannot_be_read_is_not_kept(
    http: Http, serve: Serve, tmp_path: Path, body: str, headers: dict[str, str]
) -> None:
    server = serve(always(Reply(body, headers=headers)))
    http.get(server.url)
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert (met.last_success, met.last_failure) == (None, NOW)
    assert met.detail == "tides answered what cannot be read (127.0.0.1)"
    server.play = fine
    assert http.get(server.url).json() == {"g": 42}


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

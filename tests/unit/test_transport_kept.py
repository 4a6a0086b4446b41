"""What is kept of a source's answers, and which secrets stand nowhere in it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import traceback
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
    files,
    fine,
)
from support.clock import NOW
from support.faults import FAULTS, HTML, PAGE
from support.server import Asked, Play, Reply

from providers.errors import (
    LowtideError,
    NoData,
    Unavailable,
)
from providers.transport import Http, contact


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def http(tmp_path: Path, clock: Clock) -> Http:
    return door(tmp_path, clock)


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


def test_no_login_of_an_address_is_kept(http: Http, serve: Serve, tmp_path: Path) -> None:
    server = serve(fine)
    http.get(server.url.replace("http://", "http://me:s3cr3t@") + "/now")
    kept = [path.read_text() for path in files(tmp_path)]
    assert len(kept) >= 2
    assert not [text for text in kept if "s3cr3t" in text or "me:" in text]


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

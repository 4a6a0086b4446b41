"""Ray's answers, played: refusals, odd shapes, silence, the token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.server import Asked, Play, Reply, SourceServer

from providers.base import Launch
from providers.errors import ExecutorError, SettingsError
from providers.executors import ray
from providers.executors.ray.client import Client
from providers.transport import rest

Serve = Callable[[Play], SourceServer]
NODES = {
    "data": {
        "result": {
            "result": [
                {"state": "ALIVE", "resources_total": {"CPU": 8.0, "GPU": 1.0, "region:a": 1.0}},
                {"state": "ALIVE", "resources_total": {"CPU": 2.0, "region:a": 1.0, "odd": "x"}},
                {"state": "ALIVE", "resources_total": {"CPU": 4.0, "region:b": 0.001}},
                {"state": "DEAD", "resources_total": {"CPU": 64.0, "region:a": 1.0}},
                "rubbish",
            ]
        }
    }
}
TRACE = "Traceback (most recent call last):\n  File x\nValueError: no such runtime\n.\n"


def _launch(folder: Path, **fields: Any) -> Launch:
    base: dict[str, Any] = {
        "job_id": "j", "attempt": 2, "token": "t", "argv": ("true",), "cwd": "/",
        "run_dir": str(folder / "run of j"), "env_file": "e", "units_file": "u", "work_dir": "w",
        "region": "a", "slots": 2, "grace_s": 10.0,
    }  # fmt: skip
    return Launch(**(base | fields))


def _play(jobs: Reply, submitted: Reply | None = None) -> Play:
    def play(asked: Asked) -> Reply:
        if asked.path == "/api/v0/nodes":
            return Reply(json.dumps(NODES))
        return submitted or Reply("{}") if asked.verb == "POST" else jobs

    return play


def test_a_submission_says_where_how_much_and_nothing_of_the_daemon(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TOKEN", "s3cret-token")
    server = serve(_play(Reply("no such job", 404)))
    engine = ray.build(
        {
            "address": server.url + "/behind/", "resource": "region:a", "token_env": "RAY_TOKEN",
            "python": "/opt python/bin/python3", "packages": "/shared/lowtide",
        },
        tmp_path,
    )  # fmt: skip
    server.play = lambda asked: _play(Reply("no such job", 404))(
        Asked(asked.path.removeprefix("/behind"), {}, {}, asked.verb, asked.body)
    )
    assert engine.slots() == 10
    assert engine.assignable_gpus() == (1, 1)
    engine.start(_launch(tmp_path))
    (sent,) = [asked for asked in server.asked if asked.verb == "POST"]
    assert sent.path == "/behind/api/jobs/"
    assert {asked.headers.get("Authorization") for asked in server.asked} == {"Bearer s3cret-token"}
    body = json.loads(sent.body)
    assert body.pop("submission_id").startswith("lowtide-j-2-")
    assert body == {
        "entrypoint": "exec env PYTHONPATH=/shared/lowtide '/opt python/bin/python3' -P -m "
        f"providers.runner '{tmp_path}/run of j'",
        "entrypoint_num_cpus": 2,
        "entrypoint_num_gpus": 0,
        "entrypoint_resources": {"region:a": 0.01},
        "metadata": {"lowtide_job": "j", "lowtide_attempt": "2"},
        "runtime_env": {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "15"}},
    }


@pytest.mark.parametrize("metadata", [None, {}, {"lowtide_job": "j", "lowtide_attempt": "1"}])
def test_a_job_of_another_submitter_that_has_our_id_is_left_alone(
    serve: Serve, tmp_path: Path, metadata: object
) -> None:
    stranger = json.dumps({"status": "RUNNING", "metadata": metadata})
    jobs: dict[str, str] = {}

    def play(asked: Asked) -> Reply:
        name = asked.path.removeprefix("/api/jobs/")
        if asked.verb == "POST" and not name:
            body = json.loads(asked.body)
            jobs[body["submission_id"]] = json.dumps({"status": "RUNNING"} | body)
            return Reply("{}")
        if asked.path == "/api/v0/nodes":
            return Reply(json.dumps(NODES))
        return Reply(jobs.get(name, "") or stranger)

    server = serve(play)
    engine = ray.build({"address": server.url, "resource": "region:a"}, tmp_path)
    launch = _launch(tmp_path)
    assert engine.look(launch) is None
    engine.cancel(launch)
    assert {asked.verb for asked in server.asked} == {"GET"}
    engine.start(launch)
    (ours,) = jobs
    assert ours.endswith("-2")
    found = engine.look(launch)
    assert found is not None
    assert found.stage == "running"
    engine.cancel(launch)
    assert server.asked[-1].path == f"/api/jobs/{ours}/stop"


@pytest.mark.parametrize(
    ("settings", "fields", "said"),
    [
        ({"resource": "region:a"}, {"slots": 9}, "has 9 CPUs and 0 GPUs at once"),
        ({"resource": "region:b"}, {}, "no node of Ray with 0.01 of 'region:b'"),
        ({"resource": "region:c"}, {}, "it has region:a, region:b"),
    ],
)
def test_what_no_node_can_run_is_never_submitted(
    serve: Serve, tmp_path: Path, settings: dict[str, Any], fields: dict[str, Any], said: str
) -> None:
    server = serve(_play(Reply("no such job", 404)))
    engine = ray.build({"address": server.url, **settings}, tmp_path)
    with pytest.raises(ExecutorError, match=said):
        engine.start(_launch(tmp_path, **fields))
    assert {asked.verb for asked in server.asked} == {"GET"}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("{", 200), "is not JSON"),
        (Reply("[]", 200), "tells nothing of the job"),
        (Reply(TRACE, 500, {"Content-Type": "text/plain"}), "ValueError: no such runtime$"),
        (Reply("who are you", 401), "refuses the token, or wants one .token_env. .401"),
        (Reply("", 302, {"Location": "http://elsewhere.invalid/"}), "302"),
    ],
)
def test_an_answer_that_is_none_is_one_line(
    serve: Serve, tmp_path: Path, reply: Reply, said: str
) -> None:
    engine = ray.build({"address": serve(_play(reply, reply)).url}, tmp_path)
    launch = _launch(tmp_path)
    with pytest.raises(ExecutorError, match=said) as told:
        engine.look(launch)
    assert "\n" not in str(told.value)
    if reply.status != 200:
        with pytest.raises(ExecutorError):
            engine.cancel(launch)


def test_a_refused_submission_tells_the_last_line_of_rays_trace(
    serve: Serve, tmp_path: Path
) -> None:
    refused = Reply(TRACE, 500, {"Content-Type": "text/plain"})
    engine = ray.build({"address": serve(_play(Reply("", 404), refused)).url}, tmp_path)
    with pytest.raises(ExecutorError, match=r"does not take the job .*: ValueError: no such"):
        engine.start(_launch(tmp_path))


def test_a_dashboard_that_was_silent_is_left_alone_for_a_while(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    server = serve(lambda _: Reply("{}", delay_s=5))
    client = Client(server.url, None)
    client._rest = rest.Rest("Ray", server.url, {}, 0.1, lambda: now[0])
    for _ in range(3):
        with pytest.raises(ExecutorError, match=r"gave no whole answer within 0\.1 s"):
            client.job("x")
    assert len(server.asked) == 1
    now[0] = rest.QUIET_S
    server.play = lambda _: Reply('{"status": "RUNNING"}')
    job = client.job("x")
    assert job is not None
    assert job.status == "RUNNING"


def test_a_dead_dashboard_and_a_missing_token_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ray.build({"address": "http://127.0.0.1:9"}, tmp_path)
    with pytest.raises(ExecutorError, match="Ray does not answer: connection refused"):
        engine.slots()
    monkeypatch.delenv("NO_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="environment variable NO_TOKEN is not set"):
        ray.build({"token_env": "NO_TOKEN"}, tmp_path)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8265", "ray://host:10001", "http://me:pw@host", "http://h:x", "http://"]
)
def test_an_address_that_is_none_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"address: write where the dashboard listens"):
        ray.build({"address": address}, tmp_path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "result", "state", "resources_total", "status", "CPU"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(_JSON | st.just(NODES))
def test_whatever_ray_says_it_is_an_answer_or_an_error_of_ours(answer: Any) -> None:
    class Played:
        def ask(self, *_: object) -> rest.Said:
            return rest.Said(200, json.dumps(answer), "", "host/path")

    client = Client("http://127.0.0.1:9", None)
    client._rest = Played()  # type: ignore[assignment]
    for ask in (client.nodes, lambda: client.job("x"), lambda: client.log("x")):
        try:
            found = ask()
        except ExecutorError:
            continue
        assert found is not None

"""Words that mean something to SQL, a shell or a format, in every field, on both databases."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import JobState
from scheduler.report import schema
from scheduler.testing import FakeProvider

EVIL = (
    "'; DROP TABLE job; -- \" $(touch owned) `touch owned` ; & | > owned \\ %s {0} {x!r} \t,=:é\n#"
)
PATIENCE_S = 180.0
ECHO = (
    "import json, os, sys; e = os.environ; print(json.dumps([sys.argv[1:], os.getcwd(), "
    "{k: e[k] for k in e if 'EVIL' in k}, e['LOWTIDE_REGION']]))"
)


class Place:
    """A home whose region, zone, folder and jobs are called as badly as can be."""

    def __init__(self, folder: Path, database: dict[str, str]) -> None:
        self.folder = folder / EVIL.replace("/", "_").strip()
        self.folder.mkdir()
        content = {
            "providers": ["fake"], "home": EVIL, "refresh": "1s",
            "regions": {EVIL: {"zone": EVIL, "executor": "local", "slots": 4}},
        }  # fmt: skip
        (self.folder / "config.yaml").write_text(json.dumps(content))
        home = {"LOWTIDE_HOME": str(self.folder / "home"), "LOWTIDE_HOST": EVIL}
        self.config = config.load(None, home | database, self.folder)
        begin = datetime.now(UTC) - timedelta(hours=1)
        source = FakeProvider(begin, {EVIL: [50.0] * 72})
        self.ctx = Context.open(
            self.config, datetime.now(UTC), sources={"fake": source}, environ=os.environ | home
        )


@pytest.fixture
def place(tmp_path: Path, database: dict[str, str]) -> Place:
    return Place(tmp_path, database)


def test_every_field_comes_through_as_it_is_and_nothing_obeys_it(place: Place) -> None:
    now, ctx = datetime.now(UTC), place.ctx
    request = Request(
        argv=(sys.executable, "-c", ECHO, EVIL, "--", EVIL), name=EVIL, group=EVIL, project=EVIL,
        unit=EVIL, region=(EVIL,), home=EVIL, env=(f"EVIL{EVIL.replace('=', '')}={EVIL}",),
        duration="1s", power="1W", cwd=str(place.folder),
    )  # fmt: skip
    spec = submission.to_spec(request, place.config, now, EVIL, place.folder, need_duration=True)
    job_id, _ = engine.submit(ctx, request, spec, dict(os.environ), now)
    deadline = time.monotonic() + PATIENCE_S
    while not ctx.store.jobs.get(job_id).state.ended and time.monotonic() < deadline:
        engine.tick(ctx, datetime.now(UTC))
        time.sleep(0.05)
    engine.tick(ctx, datetime.now(UTC))
    job = ctx.store.jobs.get(job_id)
    (attempt,) = ctx.store.jobs.attempts(job_id)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "exit code 0")
    said = (Path(attempt.run_dir) / "stdout.log").read_text()
    assert json.loads(said) == [
        [EVIL, "--", EVIL], str(place.folder), {f"EVIL{EVIL.replace('=', '')}": EVIL}, EVIL,
    ]  # fmt: skip
    stored = job.spec
    assert [stored.name, stored.group, stored.project, stored.user, stored.unit] == [EVIL] * 5
    assert (job.region, stored.home, stored.cwd) == (EVIL, EVIL, str(place.folder))
    assert (attempt.host, attempt.region) == (EVIL, EVIL)
    # What looks jobs up by these words finds this one, and no pattern in them matches more.
    assert [j.id for j in ctx.store.jobs.find(group=EVIL)] == [job_id]
    assert [j.id for j in ctx.store.jobs.succeeded(EVIL, EVIL, 9)] == [job_id]
    assert ctx.store.jobs.find(group="%") == []
    settlement = ctx.store.settlements.latest(job_id)
    assert settlement is not None
    assert settlement.unit == EVIL
    assert json.loads(json.dumps(schema.job_json(job)))["name"] == EVIL
    assert not [p for p in place.folder.rglob("*") if p.name == "owned"]
    assert not Path("owned").exists()
    ctx.close()


@pytest.mark.parametrize("prefix", ["%", "_", "", "' OR 1=1 --", "../", "\\"])
def test_no_word_in_place_of_an_id_finds_a_job(place: Place, prefix: str) -> None:
    now = datetime.now(UTC)
    request = Request(argv=("true",), duration="1h", power="1W")
    spec = submission.to_spec(request, place.config, now, "me", place.folder, need_duration=True)
    engine.submit(place.ctx, request, spec, dict(os.environ), now)
    with pytest.raises(UsageError, match="no job"):
        place.ctx.store.jobs.get(prefix)
    assert len(place.ctx.store.jobs.find()) == 1
    place.ctx.close()

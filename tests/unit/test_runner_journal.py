"""The journal, the units and the markers in a run folder: written, damaged, read back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import journal as energy_journal
from providers.base import ZERO, Component, Reading, Receipt, Triple
from providers.runner import journal
from providers.runner.units import Written, read_units

CPU = Component("cpu", "modelled", "test", 10.0)
GPU = Component("gpu:GPU-1", "missing", "no meter")
figures = st.floats(0, 1e12).map(lambda x: Triple(0.5 * x, x, 2 * x))
facts = st.dictionaries(st.text(max_size=9), st.floats(0, 1e17))
readings = st.builds(Reading, st.just("cpu"), figures, figures, st.floats(0, 1e9), facts)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6), readings), max_size=20))
def test_what_is_written_is_read_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, float, Reading]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    writer = journal.JournalWriter(folder, (CPU, GPU), {"interval_s": 1.0}, 1000.0)
    at = 1000.0
    for span, cpu_s, reading in steps:
        at += span
        writer.sample(at, cpu_s, [reading])
    writer.note("a note")
    writer.sync()
    found = journal.read_journal(folder)
    assert found.components == (CPU, GPU)
    assert found.meta == {"interval_s": 1.0}
    assert found.notes == ("a note",)
    first, *rest = found.samples
    assert first.at == 1000.0
    assert [r.component for r in first.readings] == ["cpu"]
    assert first.readings[0].energy_j == Triple(0, 0, 0)
    assert [(s.cpu_s, s.readings) for s in rest] == [(c, (r,)) for _, c, r in steps]


@given(st.binary(max_size=400))
def test_rubbish_in_a_journal_is_a_note_and_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run")
    writer = journal.JournalWriter(folder, (CPU,), {}, 5.0)
    with (folder / "journal.jsonl").open("ab") as f:
        f.write(rubbish + b"\n")
    writer.sample(6.0, 1.0, [])
    found = journal.read_journal(folder)
    assert found.samples[0].at == 5.0
    assert found.samples[-1].at == 6.0


@pytest.mark.parametrize(
    "line",
    [
        '{"at": 6, "cpu_s": 1, "read": [[0, 1, 2',
        '{"at": 4, "cpu_s": 1, "read": []}',
        '{"at": NaN, "cpu_s": 1, "read": []}',
        '{"at": 6, "cpu_s": -1, "read": []}',
        '{"at": 6, "cpu_s": 1, "read": [[0, -1, 0, 0, 0, 0, 0, 0]]}',
        '{"at": 6, "cpu_s": 1, "read": [[0, 3, 2, 1, 0, 0, 0, 0]]}',
        '{"at": 6, "cpu_s": 1, "read": [[0, 0, 0, 0, 0, 0, 0, 0, {"x": NaN}]]}',
        '{"at": 6, "cpu_s": 1, "read": [[7, 0, 0, 0, 0, 0, 0, 0]]}',
        '{"at": 1' + "0" * 400 + ', "cpu_s": 1, "read": []}',
        "[" * 100_000,
        "17",
        "null",
    ],
)
def test_a_damaged_line_is_left_out_and_noted(tmp_path: Path, line: str) -> None:
    journal.JournalWriter(tmp_path, (CPU,), {}, 5.0)
    with (tmp_path / "journal.jsonl").open("a") as f:
        f.write(line)
    found = journal.read_journal(tmp_path)
    assert len(found.samples) == 1
    assert found.notes == ("1 damaged line(s) of the energy journal were left out",)


def test_an_absent_journal_says_so(tmp_path: Path) -> None:
    found = journal.read_journal(tmp_path)
    assert found.components == ()
    assert "No such file" in found.notes[0]


FULL_DISK = """
import resource, sys
from dataclasses import asdict, replace
from pathlib import Path
from providers.base import Component
from providers.runner import journal
def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
folder = Path(sys.argv[1])
room(int(sys.argv[2]))
writer = journal.JournalWriter(folder, (Component("cpu", "modelled", "test"),), {}, 1.0)
for at in range(2, 7):
    try:
        writer.sample(float(at), 0.0, [])
    except OSError as e:
        print(at)
room(1 << 20)
writer.sample(9.0, 0.0, [])
"""


@pytest.mark.parametrize("size", [0, 10, 80, 150, 200, 231, 260])
def test_a_disk_full_for_a_while_is_a_gap_between_whole_samples(tmp_path: Path, size: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(size)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = journal.read_journal(tmp_path)
    lost = {float(at) for at in done.stdout.split()}
    assert lost
    assert found.components == (Component("cpu", "modelled", "test"),)
    assert [s.at for s in found.samples] == sorted({1.0, *map(float, range(2, 7)), 9.0} - lost)


CLAIM = """
import sys
from dataclasses import asdict, replace
from pathlib import Path
from providers.runner import journal
sys.stdin.readline()
print(journal.claim(Path(sys.argv[1]), {"by": sys.argv[2]}))
"""


def test_of_many_claims_at_once_one_wins_and_its_content_stands(tmp_path: Path) -> None:
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path / "started"), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(6)
    ]
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    won = [n for n, rival in enumerate(rivals) if rival.communicate()[0].strip() == "True"]
    assert len(won) == 1
    assert journal.read_json(tmp_path / "started") == {"by": str(won[0])}
    assert [p.name for p in tmp_path.iterdir()] == ["started"]


def test_a_claim_whose_answer_nfs_has_lost_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Path.hardlink_to

    def asked_twice(self: Path, target: Path) -> None:
        link(self, target)
        link(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "hardlink_to", asked_twice)
        assert journal.claim(tmp_path / "started", {"by": "us"})
    assert not journal.claim(tmp_path / "started", {"by": "another"})
    assert journal.read_json(tmp_path / "started") == {"by": "us"}


def test_a_journal_that_its_job_has_filled_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = journal.JournalWriter(tmp_path, (CPU, GPU), {}, 5.0)
    for at in range(6, 30):
        writer.sample(float(at), 0.0, [])
    writer.close()
    whole = journal.read_journal(tmp_path)
    assert (len(whole.samples), whole.notes) == (25, ())
    monkeypatch.setattr(energy_journal, "LIMIT_READINGS", 10)
    found = journal.read_journal(tmp_path)
    assert (found.components, found.samples) == ((CPU, GPU), whole.samples[: len(found.samples)])
    assert 5 < len(found.samples) < 10
    (note,) = found.notes
    assert "the rest is left out" in note


def test_work_is_read_line_by_line_and_rubbish_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "units"
    path.write_bytes(b"epochs=1\nepochs = 2.5\n\xff\xfe=1\nnan=nan\n=3\nloss\ninf=1e999\ntok=7")
    written = read_units(path)
    assert (list(written.lines), written.part) == (
        [("epochs", 1.0), ("epochs", 2.5), ("\ufffd\ufffd", 1.0), ("tok", 7.0)],
        "",
    )


def test_work_that_was_never_written_is_none(tmp_path: Path) -> None:
    assert read_units(tmp_path / "units") == Written()


RECEIPT = Receipt(
    "j1", 1, "stopped", 10.0, 20.0, None, 15, 0.5, pauses=((11.0, 12.5), (14.0, 19.0))
)


def test_a_receipt_is_read_back_as_it_was_left(tmp_path: Path) -> None:
    journal.write_json(tmp_path / "receipt.json", asdict(RECEIPT))
    assert journal.read_receipt(tmp_path) == RECEIPT


def test_a_receipt_of_a_version_without_pauses_is_read(tmp_path: Path) -> None:
    content = asdict(RECEIPT)
    del content["pauses"]
    journal.write_json(tmp_path / "receipt.json", content)
    assert journal.read_receipt(tmp_path) == replace(RECEIPT, pauses=())


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"unknown": 1}', '{"pauses": [[1, null]]}', '{"pauses": 1}']
)
def test_a_damaged_receipt_is_no_receipt(tmp_path: Path, content: str) -> None:
    (tmp_path / "receipt.json").write_text(content)
    assert journal.read_receipt(tmp_path) is None


def test_a_journal_of_a_newer_runner_is_read(tmp_path: Path) -> None:
    """An upgrade leaves the daemon running that settles what new runners record."""
    journal.JournalWriter(tmp_path, (CPU,), {}, 5.0)
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text().replace('"share":1.0', '"share":1.0,"colour":"red"'))
    assert '"colour"' in path.read_text()
    found = journal.read_journal(tmp_path)
    assert (found.components, found.notes) == ((CPU,), ())


def test_a_component_that_is_found_later_begins_at_zero_at_the_start(tmp_path: Path) -> None:
    """A board on which the job is seen after a while."""
    late = Component("gpu:GPU-a", "measured", "a counter", 400.0)
    silent = Component("gpu:GPU-b", "missing", "GPU is lost")
    writer = journal.JournalWriter(
        tmp_path, [Component("cpu", "measured", "a counter")], {}, 1000.0
    )
    writer.sample(1001.0, 0.5, [Reading("cpu", ZERO, Triple.exact(5.0), 1.0)])
    writer.add(late)
    writer.add(silent)
    writer.sample(1002.0, 0.5, [Reading("gpu:GPU-a", ZERO, Triple.exact(7.0), 2.0)])
    writer.close()
    found = journal.read_journal(tmp_path)
    assert found.components[1:] == (late, silent)
    assert found.notes == ()
    read = {(s.at, r.component): r.energy_j.value for s in found.samples for r in s.readings}
    assert read == {
        (1000.0, "cpu"): 0.0, (1000.0, "gpu:GPU-a"): 0.0,
        (1001.0, "cpu"): 5.0, (1002.0, "gpu:GPU-a"): 7.0,
    }  # fmt: skip

"""What users install: exactly two packages and their data, working from any folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    return next(out.glob("lowtide-*.whl"))


def test_the_wheel_holds_both_packages_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"scheduler", "providers"}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("scheduler", "providers")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= set(names)
    assert {n for n in names if n.startswith(("scheduler/", "providers/"))} == wanted
    assert (
        zipfile.ZipFile(wheel).read("scheduler/data/config.yaml")
        == (ROOT / "config.yaml").read_bytes()
    )


def test_its_metadata_names_every_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
    line = next(x for x in metadata.splitlines() if x.startswith("License-Expression:"))
    for licence in ("Apache-2.0", "ODbL-1.0", "CC-BY-4.0"):
        assert licence in line
    assert any(n.endswith("/NOTICE") and ".dist-info/" in n for n in archive.namelist())


def test_it_works_in_an_environment_of_its_own_beside_hostile_folders(
    wheel: Path, tmp_path: Path
) -> None:
    """In a training repository that has a ``scheduler`` and a ``providers`` of its own."""
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    # Its dependencies are those of this environment; lowtide itself is the wheel's.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(site) / "deps.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = tmp_path / "work"
    for name in ("scheduler", "providers"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    (work / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    env = {"LOWTIDE_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def lowtide(*argv: str) -> str:
        done = subprocess.run(
            [home / "bin" / "lowtide", *argv],
            cwd=work,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert lowtide("--version").startswith("lowtide ")
    where = subprocess.run(
        [python, "-P", "-c", "import scheduler, providers; print(scheduler.__file__)"],
        cwd=work,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(home))
    runner = [python, "-P", "-m", "providers.runner"]
    said = subprocess.run(runner, cwd=work, env=env, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.startswith("usage: ")
    assert lowtide("run", "--", "echo", "hello") == "hello\n"
    assert "DE" in lowtide("report", "--json")

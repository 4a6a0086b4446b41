"""The arrows of the house: who may import whom, and one door for each library."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Left may import right, never back; names on one level do not import each other.
SCHEDULER = (
    {"__main__"},
    {"cli"},
    {"daemon", "installation", "meter"},
    {"testing"},
    {"engine"},
    {"backtest", "report", "simulate"},
    {"planner", "sci", "store", "regions", "comparison", "instances"},
    {"config", "machines"},
    {"hardware_settings"},
    {"checked", "sections"},
    {"models", "scores", "wall_clock"},
    {"cron", "quantities", "zones"},
    {"address", "config_files", "documents", "locks", "origin", "outage"},
    {"faults", "texts"},
    {"errors"},
)
PROVIDERS = (
    {"executors"},
    {"runner"},
    {"registry"},
    {"hardware"},
    {"intensity", "meters"},
    {"transport"},
    {"forecaster", "catalogue", "settings", "surroundings", "typical"},
    {"series", "journal"},
    {"calibration"},
    {"arrays"},
    {"base", "files"},
    {"clocks", "errors", "host"},
)
# The one place through which each library comes in.
DOORS = {
    "sqlmodel": {"scheduler/store"},
    "sqlalchemy": {"scheduler/store"},
    "apscheduler": {"scheduler/daemon.py"},
    "cronsim": {"scheduler/cron.py"},
    "yaml": {"scheduler/documents.py"},
    "platformdirs": {"scheduler/config_files.py"},
    "pynvml": {"providers/meters/nvml/library.py"},
    "click": {"scheduler/cli"},
    "rich": {"scheduler/report/tables.py"},
    "plotext": {"scheduler/report/plot.py"},
    "requests": {"providers/transport"},
    "requests_cache": {"providers/transport"},
    "tenacity": {"providers/transport/__init__.py"},
    "urllib3": {"providers/transport"},
}
# What a folder of providers may import of providers besides itself: siblings of one kind are
# strangers to the other kinds, and what runs beside the job stays light.
KNOWS = {
    "providers/runner": {
        "base",
        "clocks",
        "errors",
        "files",
        "host",
        "journal",
        "registry",
        "meters.microarchitecture",
        "meters.nvml",
    },
    "providers/meters": {"base", "clocks", "errors", "host", "journal"},
    "providers/intensity": {
        "arrays",
        "base",
        "calibration",
        "errors",
        "files",
        "forecaster",
        "series",
        "settings",
        "surroundings",
        "transport",
        "typical",
    },
    "providers/forecaster": {"arrays", "calibration", "errors"},
    "providers/hardware": {
        "base",
        "errors",
        "meters.microarchitecture",
        "surroundings",
        "transport",
    },
    "providers/executors": {
        "base",
        "errors",
        "files",
        "runner",
        "meters.nvml",
        "settings",
        "transport",
    },
}
# What runs on the node, beside the job: light, so the standard library alone.
LIGHT = ("providers/runner", "providers/meters", "providers/base.py", "providers/clocks.py",
         "providers/errors.py", "providers/files.py", "providers/host.py", "providers/journal.py",
         "providers/registry.py",
         "providers/executors/local.py", "providers/executors/foreground.py")  # fmt: skip
ALLOWED_AT_ROOT = {
    ".ci", ".editorconfig", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "README.md", "config.yaml", "docs", "examples", "providers", "pyproject.toml", "scheduler",
    "tests",
}  # fmt: skip


def imports(source: str) -> list[str]:
    """Every module that a source imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            found.append(str(node.module))
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def wrong_arrows(package: str, part: str, source: str) -> list[str]:
    """Imports of ``source`` (in ``package.part``) that point up or across."""
    layers = SCHEDULER if package == "scheduler" else PROVIDERS
    level = next(i for i, names in enumerate(layers) if part in names)
    wrong = []
    for module in imports(source):
        head, *rest = module.split(".")
        if package == "providers" and head == "scheduler":
            wrong.append(module)
        if head != package or not rest or rest[0] == part:
            continue
        target = next((i for i, names in enumerate(layers) if rest[0] in names), None)
        if target is not None and target <= level:
            wrong.append(module)
    return wrong


def foreign(path: str, source: str) -> list[str]:
    """Libraries that ``source`` imports though this is not their door."""
    return [
        module
        for module in imports(source)
        for library, doors in DOORS.items()
        if module.split(".")[0] == library
        and not any(path == door or path.startswith(f"{door}/") for door in doors)
    ]


def strangers(path: str, source: str) -> list[str]:
    """Modules of providers that ``source`` imports though its folder does not know them."""
    folder = "/".join(path.split("/")[:2])
    known = KNOWS.get(folder)
    if known is None:
        return []
    own = folder.replace("/", ".")
    allowed = {own, *(f"providers.{name}" for name in known)}
    return [
        module
        for module in imports(source)
        if module.startswith("providers.")
        and not any(module == name or module.startswith(f"{name}.") for name in allowed)
        and not any(name.startswith(f"{module}.") for name in allowed)
    ]


# A path of one machine: a home, a checkout, a mount. Bin, etc, proc, sys and tmp are everywhere.
MACHINE = re.compile(r"(?<![\w.~}])/(?:home|Users|root|work|mnt|opt|srv|data)/\w+")


def _files() -> list[Path]:
    return [p for package in ("scheduler", "providers") for p in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_down_and_libraries_have_one_door(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    package, part = name.split("/")[0], name.split("/")[1].removesuffix(".py")
    source = path.read_text(encoding="utf-8")
    if part != "__init__":
        assert wrong_arrows(package, part, source) == []
    assert foreign(name, source) == []
    assert strangers(name, source) == []
    if name.startswith(LIGHT):
        heads = {module.split(".")[0] for module in imports(source)}
        assert heads <= {*sys.stdlib_module_names, "providers", "pynvml", "__future__"}


def test_a_wrong_arrow_is_seen() -> None:
    """The checks can fail."""
    assert wrong_arrows("providers", "base", "import scheduler.models") == ["scheduler.models"]
    assert wrong_arrows("scheduler", "sci", "from scheduler.engine import tick")
    assert wrong_arrows("scheduler", "sci", "from scheduler.store import Store")
    assert wrong_arrows("scheduler", "engine", "from scheduler.store import Store") == []
    assert foreign("scheduler/engine/x.py", "import sqlmodel") == ["sqlmodel"]
    assert foreign("scheduler/store/x.py", "import sqlmodel") == []
    across = "from providers.intensity import trace"
    assert strangers("providers/meters/x.py", across) == [
        "providers.intensity",
        "providers.intensity.trace",
    ]
    assert strangers("providers/executors/x.py", "import providers.meters.rapl")
    assert strangers("providers/executors/x.py", "from providers.meters import nvml") == []
    assert strangers("providers/intensity/x.py", across) == []
    assert MACHINE.search("see /" + "home/me/x")
    assert not MACHINE.search("~/.config/data/x, {folder}/srv/x, https://a.b/data/c, /etc/work")


def test_examples_never_import_lowtide() -> None:
    """A job runs in an environment of its own, with or without lowtide in it.

    What is plugged into lowtide knows its border, and nothing behind that.
    """
    plugged = [ROOT / "examples" / name for name in ("my_provider.py", "my_executor.py")]
    for path in plugged:
        known = imports(path.read_text(encoding="utf-8"))
        assert not any(module.startswith("scheduler") for module in known), path.name
    examples = [path for path in (ROOT / "examples").glob("*.py") if path not in plugged]
    assert examples
    for path in examples:
        heads = {module.split(".")[0] for module in imports(path.read_text(encoding="utf-8"))}
        assert not heads & {"scheduler", "providers"}, path.name


def test_the_runner_loads_nothing_heavy() -> None:
    """numpy, pydantic and sqlmodel stay out of the process beside the job."""
    code = (
        "import sys, providers.runner.runner, providers.meters.model, providers.meters.rapl;"
        "print([m for m in ('numpy', 'pydantic', 'sqlmodel', 'click') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_metering_loads_nothing_heavy_before_the_run_has_ended() -> None:
    """Neither a command in the foreground nor a tracked program waits for, or holds, numpy."""
    code = (
        "import sys, scheduler.cli.main, scheduler.cli.meter, scheduler.meter;"
        "import scheduler.meter.command, providers.executors.foreground;"
        "from scheduler.meter.place import place; import pathlib;"
        "place(None, 'DE', config=None, environ={}, cwd=pathlib.Path('/nowhere'));"
        "print([m for m in ('numpy', 'pydantic', 'sqlmodel', 'rich', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_who_only_looks_loads_neither_numpy_nor_the_planner(tmp_path: Path) -> None:
    """Most of the time of such a command goes into what it imports."""
    code = (
        "import atexit, sys; from scheduler.cli import main;"
        "heavy = ('numpy', 'requests', 'scheduler.engine.engine', 'scheduler.planner.fleet');"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules])); main()"
    )
    environ = {**os.environ, "LOWTIDE_HOME": str(tmp_path / "home")}
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n", encoding="utf-8")
    for argv in (["report", "--since", "30d", "--json"], ["status"]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *argv],
            cwd=tmp_path, env=environ, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "[]", argv


def test_files_are_small() -> None:
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in _files()}
    assert max(sizes.values()) <= 500, max(sizes, key=lambda p: sizes[p])
    assert statistics.median(sizes.values()) < 150


def _tracked() -> list[str]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, or no git: what belongs to the project is not known")
    listed = [git, "-c", f"safe.directory={ROOT}", "ls-files"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_nothing_unexpected_stands_at_the_root() -> None:
    assert {name.split("/")[0] for name in _tracked()} <= ALLOWED_AT_ROOT


def test_no_file_names_a_path_of_one_machine() -> None:
    texts = [p for name in _tracked() if (p := ROOT / name).is_file() and p.suffix != ".gz"]
    found = {p: m[0] for p in texts if (m := MACHINE.search(p.read_text(encoding="utf-8")))}
    assert found == {}


def test_both_packages_say_what_they_are() -> None:
    for package in ("scheduler", "providers"):
        assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))

"""Answers of a source gone wrong: any part of a body replaced, removed, doubled or moved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from providers.errors import ProviderError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from providers.series import Series

Path = tuple[str | int, ...]

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -0.0, -1, 0.5, 1e308, 10**400, float("nan"), float("inf"),
    "", "0", "12", "null", "\n", "2024-13-45T99:00Z", "2024-01-15T00:00", "0001-01-01T00:00Z",
    "9999-12-31T23:59-23:59", [], {}, [[]], [None], {"data": []}, {"error": {"message": "no"}},
)  # fmt: skip


def paths(node: Any, here: Path = ()) -> Iterator[Path]:
    """Where every part of a body stands, the whole first."""
    yield here
    if isinstance(node, dict | list):
        inside = node.items() if isinstance(node, dict) else enumerate(node)
        for key, part in inside:
            yield from paths(part, (*here, key))


def numbers(body: Any) -> set[float]:
    """Every number of a body; true and false are none."""
    if isinstance(body, dict | list):
        parts = body.values() if isinstance(body, dict) else body
        return {n for part in parts for n in numbers(part)}
    if isinstance(body, bool) or not isinstance(body, int | float):
        return set()
    try:
        return {float(body)}
    except OverflowError:
        return set()


def mutated(body: Any, most: int = 3) -> SearchStrategy[Any]:
    """``body`` with one to ``most`` faults."""
    return st.integers(1, most).flatmap(lambda n: _faults(body, n))


@st.composite
def _faults(draw: st.DrawFn, body: Any, count: int) -> Any:
    for _ in range(count):
        path = draw(st.sampled_from(list(paths(body))))
        kind = draw(st.sampled_from(["replace", "remove", "double", "reverse", "move"]))
        if kind == "move":
            body = _with(body, path, _at(body, draw(st.sampled_from(list(paths(body))))))
        elif kind == "reverse" and isinstance(found := _at(body, path), list):
            body = _with(body, path, found[::-1])
        elif kind in ("remove", "double") and path:
            body = _with(body, path[:-1], _edited(_at(body, path[:-1]), path[-1], kind))
        else:
            body = _with(body, path, draw(st.sampled_from(JUNK) | st.integers() | st.floats()))
    return body


def _edited(parent: Any, key: Any, kind: str) -> Any:
    changed = copy.copy(parent)
    if kind == "remove":
        del changed[key]
    elif isinstance(changed, list):
        changed.insert(key, changed[key])
    else:
        changed[f"{key}2"] = changed[key]
    return changed


def _at(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


def _with(node: Any, path: Path, part: Any) -> Any:
    """A copy of ``node`` with another part at ``path``; the original stays as it is."""
    if not path:
        return copy.deepcopy(part)
    changed = copy.copy(node)
    changed[path[0]] = _with(node[path[0]], path[1:], part)
    return changed


def check_sound(body: Any, parse: Callable[[Any], Series]) -> None:
    """A body gives a series of its own numbers, or an error in one line; nothing else."""
    try:
        series = parse(body)
    except ProviderError as e:
        said = str(e)
    else:
        said = "a series"
        assert set(series.g_per_kwh.tolist()) <= numbers(body)
    assert said
    assert "\n" not in said

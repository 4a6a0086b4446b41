"""YAML files as plain values; the only door to the library.

What is read is bounded before it is built: a few lines of aliases can stand for gigabytes. A time
such as 18:00 is that text, as in YAML 1.2, and not the 1080 of YAML 1.1. libyaml reads it where
PyYAML was built with it (all its wheels are), fifty times as fast as PyYAML's own parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError

if TYPE_CHECKING:
    from pathlib import Path

    from yaml import SafeLoader as _Fastest
else:
    _Fastest = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A config of every cloud region with all its settings has some hundred kilobytes.
LIMIT_BYTES = 1 << 20
# Keys, values, lists and mappings, each counted wherever an alias repeats it: all 163 regions of
# the catalogue with thirty settings each have 10,000.
LIMIT_NODES = 20_000
# libyaml compares each directive (%TAG) with all before it; files that people write have none.
LIMIT_DIRECTIVES = 100
# Python's own limit of recursion is 1000 frames, and each level takes several.
LIMIT_DEPTH = 50
TOO_MANY = f": it stands for more than {LIMIT_NODES} values, aliases counted"
TOO_DEEP = f": nested more than {LIMIT_DEPTH} deep"
# The longest number that a computer's floating point can need has 767 digits (IEEE 754, binary64).
LIMIT_DIGITS = 1000


class Broken(ValueError):
    """What is wrong with a document, with its line where that is known; begins with a comma or
    a colon, to follow the name of the file.
    """


def load(path: Path, *, words: bool = False) -> Any:
    """The content; :class:`Broken`, or :class:`OSError` where it cannot be read."""
    return parse(read(path), words=words)


def read(path: Path) -> bytes:
    """The file's text, bounded; :class:`Broken` where it is longer."""
    with path.open("rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise Broken(f": longer than {LIMIT_BYTES >> 20} MiB")
    return content


def parse(content: bytes, *, words: bool = False) -> Any:
    """What a document of that text holds; :class:`Broken` where it cannot be read.

    With ``words`` each value is the text that stands in the file, as on a command line: ``0.10``,
    ``yes`` and ``2026-12-01`` too. No value is None.
    """
    loader: _Loader | None = None
    try:
        text = _decoded(content)
        _check_extent(text)
        loader = (_Words if words else _Loader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        extent = _extent(node, {})
        if extent.values > LIMIT_NODES:
            raise Broken(TOO_MANY)
        if extent.depth > LIMIT_DEPTH:
            raise Broken(TOO_DEEP)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise Broken(f"{line}: broken YAML: {e.problem or e.context}") from e
    except RecursionError as e:
        raise Broken(": nested too deeply") from e
    except yaml.YAMLError as e:
        raise Broken(f": broken YAML: {' '.join(str(e).split())}") from e
    finally:
        if loader is not None:
            loader.dispose()


_NULL, _MERGE, _TEXT, _INT, _FLOAT = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "merge", "str", "int", "float")
)


class _Loader(_Fastest):
    """Names the line of a value that is none, such as the 31st of February."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return _TEXT if tag in (_INT, _FLOAT) and ":" in value else tag

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag in (_INT, _FLOAT) and len(node.value) > LIMIT_DIGITS:
            said = f"a number of more than {LIMIT_DIGITS} digits"
            raise ConstructorError(None, None, said, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
            said = " ".join(str(e).split())[:200]
            raise ConstructorError(None, None, said, node.start_mark) from e


class _Words(_Loader):
    """Every scalar is its text, but for one that says that there is no value."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        return tag if kind is not yaml.ScalarNode or tag in (_NULL, _MERGE) else _TEXT

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        for item in node.value if isinstance(node, yaml.SequenceNode) else ():
            if item.tag == _NULL:
                item.tag = _TEXT  # `null` in a list is a word, as any other
        found: list[Any] = super().construct_sequence(node, deep)
        return found


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Broken(" is not a text file: what is read here is YAML in UTF-8") from None


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many values stand below a node, with all that aliases repeat, and how deep."""

    values: int
    depth: int


def _check_extent(text: str) -> None:
    """:class:`Broken` where it has too many values or levels, of which none is built for that."""
    if text.count("\n%") > LIMIT_DIRECTIVES:
        raise Broken(f": more than {LIMIT_DIRECTIVES} lines begin with %")
    values = depth = 0
    for event in yaml.parse(text, Loader=_Fastest):
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if values > LIMIT_NODES:
            raise Broken(TOO_MANY)
        if depth > LIMIT_DEPTH:
            raise Broken(TOO_DEEP)


def _extent(node: yaml.Node, known: dict[int, _Extent]) -> _Extent:
    if id(node) not in known:
        known[id(node)] = _Extent(LIMIT_NODES, 0)  # one that holds itself is endless
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = (each for part in parts for each in (part if isinstance(part, tuple) else (part,)))
        inner = [_extent(each, known) for each in flat]
        depth = 1 + max((each.depth for each in inner), default=0)
        known[id(node)] = _Extent(1 + sum(each.values for each in inner), depth)
    return known[id(node)]

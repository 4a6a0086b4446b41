"""YAML files as plain values; the only door to the library.

What is read is bounded before it is built: a few lines of aliases can stand for gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError

if TYPE_CHECKING:
    from pathlib import Path

# A config of every cloud region with all its settings has some hundred kilobytes.
LIMIT_BYTES = 1 << 20
# Keys, values, lists and mappings, each counted wherever an alias repeats it.
LIMIT_NODES = 100_000
# Python's own limit of recursion is 1000 frames, and each level takes several.
LIMIT_DEPTH = 50


class Broken(ValueError):
    """What is wrong with a document, with its line where that is known; begins with a comma or
    a colon, to follow the name of the file.
    """


def load(path: Path) -> Any:
    """The content; :class:`Broken`, or :class:`OSError` where it cannot be read."""
    return parse(read(path))


def read(path: Path) -> bytes:
    """The file's text, bounded; :class:`Broken` where it is longer."""
    with path.open("rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise Broken(f": longer than {LIMIT_BYTES >> 20} MiB")
    return content


def parse(content: bytes) -> Any:
    """What a document of that text holds; :class:`Broken`, or :class:`ValueError` for no UTF-8."""
    loader: _Loader | None = None
    try:
        loader = _Loader(content.decode("utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        extent = _extent(node, {})
        if extent.values > LIMIT_NODES:
            raise Broken(f": it stands for more than {LIMIT_NODES} values, aliases counted")
        if extent.depth > LIMIT_DEPTH:
            raise Broken(f": nested more than {LIMIT_DEPTH} deep")
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


class _Loader(yaml.SafeLoader):
    """Names the line of a value that is none, such as the 31st of February."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
            said = " ".join(str(e).split())[:200]
            raise ConstructorError(None, None, said, node.start_mark) from e


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many values stand below a node, with all that aliases repeat, and how deep."""

    values: int
    depth: int


def _extent(node: yaml.Node, known: dict[int, _Extent]) -> _Extent:
    if id(node) not in known:
        known[id(node)] = _Extent(LIMIT_NODES, 0)  # one that holds itself is endless
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        flat = (each for part in parts for each in (part if isinstance(part, tuple) else (part,)))
        inner = [_extent(each, known) for each in flat]
        depth = 1 + max((each.depth for each in inner), default=0)
        known[id(node)] = _Extent(1 + sum(each.values for each in inner), depth)
    return known[id(node)]

"""Files that people write, read and checked: each fault is one :class:`ConfigError`.

It names the file, the line where YAML knows it, and the nearest known key.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler import documents, faults
from scheduler.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path, *, words: bool = False) -> dict[str, Any]:
    """The file's content, with ``words`` as text; an empty file is an empty mapping."""
    return mapping(text_of(path), path, words=words)


def text_of(path: Path) -> bytes:
    """What the file holds; bounded."""
    try:
        return documents.read(path)
    except documents.Broken as e:
        raise ConfigError(f"{path}{e}") from e
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, not a file") from None
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(e).split())}") from e


def mapping(text: bytes, path: Path, *, words: bool = False) -> dict[str, Any]:
    """The keys and values of a text that was read from ``path``; an empty one has none."""
    try:
        content = documents.parse(text, words=words)
    except documents.Broken as e:
        raise ConfigError(f"{path}{e}") from e
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, not `key: value` lines")
    return content


def validate(model: type[M], content: Any, path: Path) -> M:
    """Check ``content`` against ``model``; the first fault becomes one line."""
    try:
        return model.model_validate(content)
    except ValidationError as e:
        fault = e.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _keys_at(model, fault["loc"][:-1])
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"{path}: unknown key {where!r}: {hint}") from e
        raise ConfigError(f"{path}: {where or 'file'}: {faults.in_words(fault)}") from e


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at ``loc`` knows."""
    current: type[BaseModel] = model
    for part in loc:
        field = current.model_fields.get(str(part))
        if field is not None:
            current = next(_models_in(field.annotation), current)
    return list(current.model_fields)


def _models_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)

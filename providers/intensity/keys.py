"""Keys of sources: from the environment alone, and in no message."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from providers.errors import AccessDenied

if TYPE_CHECKING:
    from providers.surroundings import Surroundings
    from providers.transport import Answer

# A shorter one would blot out half of an honest answer; no source gives such keys.
SHORTEST = 8


def key_from(here: Surroundings, name: str, source: str, had_at: str) -> str:
    """The key in the environment variable ``name``; :class:`AccessDenied` where there is none."""
    key = here.environ.get(name, "").strip()
    if not key:
        raise AccessDenied(f"{source} wants a key: set {name}; one is had at {had_at}")
    return key


def body_of(answer: Answer, key: str) -> Any:
    """The decoded body. Some sources repeat the question in it: its key is blotted out."""
    text = answer.text
    if len(key) >= SHORTEST:
        for form in (key, json.dumps(key)[1:-1]):
            text = text.replace(form, "***")
    return replace(answer, text=text).json()

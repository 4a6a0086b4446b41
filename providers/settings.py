"""A provider's settings: checked, with the nearest known key where one is wrong."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from providers.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProviderSettings(BaseModel):
    """Base of every provider's settings: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


S = TypeVar("S", bound=ProviderSettings)


def checked(model: type[S], settings: Mapping[str, Any], provider: str) -> S:
    """``settings`` as ``model``; :class:`SettingsError` names the first fault."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as e:
        fault = e.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, model.model_fields, n=1, cutoff=0.4)
            known = ", ".join(model.model_fields) or "none"
            said = f"unknown key: {f'did you mean {near[0]!r}?' if near else f'known are {known}'}"
        raise SettingsError(f"source of type {provider}: {key or 'settings'}: {said}") from e

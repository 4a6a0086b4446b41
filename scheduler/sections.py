"""What sections of the configuration are made of: figures with bounds, texts read as numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from scheduler import quantities


def text(parse: Any) -> BeforeValidator:
    """Read what people write (``4y``, ``5%``, ``0.05``) by ``parse``; for a number YAML has its own
    type; what can be neither stays as it is.
    """
    return BeforeValidator(lambda v: parse(str(v)) if isinstance(v, (str, int, float)) else v)


# Defaults are numbers in the stated unit already.
Seconds = Annotated[float, text(quantities.duration_s), Field(gt=0, le=quantities.LONGEST_S)]
Words = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A part of the file: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Bounds(Section):
    """A figure, with bounds where the user knows them."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise ValueError(f"bounds out of order: {low} <= {self.value} <= {high}")
        return self

"""What a user asked for, as text: the options of ``submit`` and the fields of a job file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from providers.base import PauseSignal
from scheduler.texts import storable


def _written(value: Any) -> Any:
    """YAML reads some times and numbers as such; here every quantity is text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, (str, int)) else value


Text = Annotated[str, BeforeValidator(_written)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]


class Request(BaseModel):
    """The options of ``submit`` and the fields of a job file, unparsed."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, raw: Any) -> Any:
        for name, value in raw.items() if isinstance(raw, dict) else ():
            known = {"argv": "the command", "command": "the command"}
            what = known.get(str(name), f"--{name}".replace("_", "-"))
            for text in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(text, str):
                    storable(what, text)
        return raw

    argv: Texts = Field((), validation_alias=AliasChoices("argv", "command"))
    name: Text | None = None
    group: Text | None = None
    project: Text | None = None
    duration: Text | None = None
    duration_from: Literal["history", "given"] | None = None
    deadline: Text | None = None
    start_by: Text | None = None
    earliest: Text | None = None
    every: Text | None = None
    within: Text | None = None
    tz: Text | None = None
    # YAML reads an id of digits alone as a number.
    after: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    min_saving: Text | None = None
    region: Texts = Field((), validation_alias=AliasChoices("region", "regions"))
    home: Text | None = None
    power: Text | None = None
    energy: Text | None = None
    gpus: int | None = None
    slots: int | None = None
    unit: Text | None = None
    time_limit: Text | None = None
    retries: int | None = None
    env: Texts = ()
    no_env: bool = False
    cwd: Text | None = None
    pausable: bool = False
    resume_overhead: Text | None = None
    min_run: Text | None = None
    max_segments: Annotated[int, Field(ge=1)] | None = None
    pause_signal: PauseSignal | None = None
    data: Text | None = None
    priority: int = 0
    weigh: Texts = ()
    max_cost: Text | None = None
    max_delay: Text | None = None
    risk: Literal["expected", "cautious"] | None = None

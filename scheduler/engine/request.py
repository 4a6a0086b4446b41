"""What a user asked for, as text: the options of ``submit`` and the fields of a job file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from providers.base import PauseSignal
from scheduler.models import MOST
from scheduler.texts import storable


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
Count = Annotated[int, Field(ge=-MOST, le=MOST)]


class Request(BaseModel):
    """The options of ``submit`` and the fields of a job file, unparsed."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)

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
    name: str | None = None
    group: str | None = None
    project: str | None = None
    duration: str | None = None
    duration_from: Literal["history", "given"] | None = None
    deadline: str | None = None
    start_by: str | None = None
    earliest: str | None = None
    every: str | None = None
    within: str | None = None
    tz: str | None = None
    after: Texts = ()
    min_saving: str | None = None
    region: Texts = Field((), validation_alias=AliasChoices("region", "regions"))
    home: str | None = None
    power: str | None = None
    energy: str | None = None
    gpus: Count | None = None
    slots: Count | None = None
    unit: str | None = None
    unit_rationale: str | None = None
    time_limit: str | None = None
    retries: Count | None = None
    env: Texts = ()
    no_env: bool = False
    cwd: str | None = None
    pausable: bool = False
    resume_overhead: str | None = None
    min_run: str | None = None
    max_segments: Annotated[int, Field(ge=1, le=MOST)] | None = None
    pause_signal: PauseSignal | None = None
    data: str | None = None
    priority: Count = 0
    weigh: Texts = ()
    max_cost: str | None = None
    max_delay: str | None = None
    risk: Literal["expected", "cautious"] | None = None

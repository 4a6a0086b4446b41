"""What a user tells of a job for a BoAmps report: stage, family, algorithms, data.

Fields, words and limits are those of Boavizta's BoAmps 1.1.0 (CC BY 4.0), ``model/``:
report_schema.json ``task``, algorithm_schema.json, dataset_schema.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
# The format demands these fields, and has no other words for what nobody told.
UNTOLD: dict[str, Any] = {
    "taskStage": "unknown",
    "taskFamily": "unknown",
    "algorithms": [{}],
    "dataset": [{"dataUsage": "input", "dataType": "other"}],
    "taskDescription": "lowtide was not told what the task is: stage, family, algorithm and data "
    "set are unknown",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Algorithm(_Part):
    """An item of ``algorithms``."""

    trainingType: str | None = None  # noqa: N815
    algorithmType: str | None = None  # noqa: N815
    algorithmName: str | None = None  # noqa: N815
    algorithmUri: str | None = None  # noqa: N815
    foundationModelName: str | None = None  # noqa: N815
    foundationModelUri: str | None = None  # noqa: N815
    parametersNumber: Number | None = None  # noqa: N815
    framework: str | None = None
    frameworkVersion: str | None = None  # noqa: N815
    classPath: str | None = None  # noqa: N815
    layersNumber: Number | None = None  # noqa: N815
    epochsNumber: Number | None = None  # noqa: N815
    optimizer: str | None = None
    quantization: str | None = None


class Dataset(_Part):
    """An item of ``dataset``; the format's long list of file formats is left to it."""

    dataUsage: Literal["input", "output"]  # noqa: N815
    dataType: Literal[  # noqa: N815
        "tabular", "audio", "boolean", "image", "video", "object", "text", "token", "word", "other"
    ]
    dataSize: Number | None = None  # noqa: N815
    dataQuantity: Number | None = None  # noqa: N815
    shape: str | None = None
    source: Literal["public", "private", "other"] | None = None
    sourceUri: str | None = None  # noqa: N815
    owner: str | None = None


class Task(_Part):
    """The format's ``task``."""

    taskStage: str  # noqa: N815
    taskFamily: str  # noqa: N815
    algorithms: Annotated[list[Algorithm], Field(min_length=1)]
    dataset: Annotated[list[Dataset], Field(min_length=1)]
    nbRequest: Number | None = None  # noqa: N815
    measuredAccuracy: Annotated[float, Field(ge=0, le=1)] | None = None  # noqa: N815
    estimatedAccuracy: (  # noqa: N815
        Literal["veryPoor", "poor", "average", "good", "veryGood"] | None
    ) = None
    taskDescription: str | None = None  # noqa: N815

    def told(self) -> dict[str, Any]:
        """The fields that were given, as the report has them."""
        return self.model_dump(exclude_none=True)

"""Where a Ray cluster listens, and which of its nodes are a region."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from providers.settings import ProviderSettings, checked

if TYPE_CHECKING:
    from collections.abc import Mapping


class RaySettings(ProviderSettings):
    """``executors.ray`` of the config, with ``engine`` of a region laid over it.

    ``address`` is the dashboard's; ``resource`` a custom resource of the region's nodes
    (``ray start --resources='{"region:eu-north-1": 1}'``), ``amount`` how much of it a job takes:
    little, so that it only says where; without one any node will do. ``token_env`` names the
    environment variable with the cluster's token. ``python`` is the interpreter on the nodes
    (3.11 or newer, nothing else needed), ``packages`` the folder there that holds lowtide's
    packages; both default to those here, on a shared file system.
    """

    address: str = "http://127.0.0.1:8265"
    token_env: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    resource: Annotated[str, Field(min_length=1)] | None = None
    # Ray counts resources in steps of 0.0001 (its docs, "Fractional resource requirements").
    amount: Annotated[float, Field(ge=0.0001, le=1)] = 0.01
    python: Annotated[str, Field(min_length=1)] = sys.executable
    packages: str | None = None

    @field_validator("address")
    @classmethod
    def _url(cls, address: str) -> str:
        try:
            parts = urlsplit(address)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in address or "?" in address or "#" in address:
            raise ValueError(
                "write where the dashboard listens, e.g. http://127.0.0.1:8265, with no login in it"
            )
        return address


def parse(settings: Mapping[str, Any]) -> RaySettings:
    """Checked settings; :class:`providers.errors.SettingsError` names the first fault."""
    return checked(RaySettings, settings, "ray")

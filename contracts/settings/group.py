"""What all groups of settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _loopback_or_named(host: str) -> str:
    if not host:
        raise ValueError("a host is needed; 127.0.0.1 keeps it to this machine")
    return host


Host = Annotated[str, AfterValidator(_loopback_or_named)]


class Group(BaseModel):
    """One table of the settings file: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

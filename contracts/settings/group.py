"""The base class of all groups of settings, and types of values that several groups use."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _not_empty(host: str) -> str:
    if not host:
        raise ValueError(
            "a network address was expected, and it is empty; 127.0.0.1 is this machine alone"
        )
    return host


Host = Annotated[str, AfterValidator(_not_empty)]


class Group(BaseModel):
    """One table of the settings file: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

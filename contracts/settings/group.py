"""The base class of all groups of settings, and types of values that several groups use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _not_empty(host: str) -> str:
    if not host:
        raise ValueError(
            "a network address was expected, and it is empty; 127.0.0.1 is this machine alone"
        )
    return host


def absolute(path: Path) -> Path:
    """The path from the root on; ``ValueError`` where ``~`` names no home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"found {str(path)!r}, and there is no such home; name it whole") from None


def is_folder(place: str) -> bool:
    """Whether a place is a folder of a disk, named by its path or as a URL; else it is a store that
    is reached by requests."""
    return "://" not in place or place.startswith(("file://", "local://"))


def _absolute_unless_url(place: str) -> str:
    return place if not place or "://" in place else str(absolute(Path(place)))


Host = Annotated[str, AfterValidator(_not_empty)]

# A relative path means this process's folder, and processes elsewhere get the settings too.
File = Annotated[Path, AfterValidator(absolute)]
Place = Annotated[str, AfterValidator(_absolute_unless_url)]
"""A folder, an fsspec URL, or empty."""


class Group(BaseModel):
    """One table of the settings file: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

"""Results of long runs that are kept in a folder, and not run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

_Result = TypeVar("_Result", bound=msgspec.Struct)


def kept_or_made(
    folder: Path | None, name: str, kind: type[_Result], make: Callable[[], _Result]
) -> _Result:
    """What an earlier run left under this name in the folder; else what ``make`` makes, left there
    for the next one. Without a folder nothing is kept."""
    file = folder / f"{name}.json" if folder else None
    if file is not None and file.exists():
        return msgspec.json.decode(file.read_bytes(), type=kind)
    result = make()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(result))
    return result

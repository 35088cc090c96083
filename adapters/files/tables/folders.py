"""The files of a table: one, or all of a folder, with the columns that its folders' names are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from everfresh.adapters.files.tables.recognition import require_regular
from everfresh.contracts.errors import DataFileError

_NULL = "__HIVE_DEFAULT_PARTITION__"
_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")
_PACKED = (".gz", ".zst", ".zstd")


@dataclass(frozen=True)
class Part:
    """One file, and the values that its folders give to all of its rows (``date=2024-01-01/``)."""

    path: Path
    partition: dict[str, str | None] = field(default_factory=dict)


def parts_of(path: Path) -> tuple[list[Part], list[Path]]:
    """The files in the order of their paths, and those of a folder that were left out.

    As Spark and Hive do, files and folders whose names begin with ``.`` or ``_`` are not part of
    the table. Left out and named are those whose ending is none of a table's, and links to folders
    that are read already. ``DataFileError`` where nothing is left.
    """
    require_regular(path)
    if path.is_file():
        return [Part(path)], []
    parts, others = [], []
    met = {os.path.realpath(path)}
    for folder, folders, names in os.walk(path, onerror=_refuse, followlinks=True):
        place = Path(folder)
        named = sorted(name for name in folders if name[0] not in "._")
        folders.clear()
        for name in named:
            # A link may lead to a folder that is read already, or to one that it lies in.
            real = os.path.realpath(place / name)
            if real in met:
                others.append(place / name)
            else:
                met.add(real)
                folders.append(name)
        partition = _partition(place.relative_to(path))
        for name in sorted(names):
            if name[0] in "._":
                continue
            file = place / name
            if _is_tables(name) and file.is_file():
                parts.append(Part(file, partition))
            else:
                others.append(file)
    if not parts:
        raise DataFileError(
            f"{path} holds no file of events; expected CSV, TSV, JSON lines or Parquet "
            f"({', '.join(_ENDINGS)}), also with {' or '.join(_PACKED)}"
        )
    return parts, others


def _is_tables(name: str) -> bool:
    name = name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return name.endswith(_ENDINGS) or name.startswith("part-")


def _partition(place: Path) -> dict[str, str | None]:
    pairs = (name.partition("=") for name in place.parts)
    return {
        unquote(key): None if value == _NULL else unquote(value)
        for key, equals, value in pairs
        if key and equals
    }


def _refuse(error: OSError) -> None:
    raise DataFileError(f"{error.filename} cannot be read: {error.strerror}")

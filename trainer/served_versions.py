"""Versions as replicas hold them, to score with: the one that serves, and parents on probation.

A version that is published is made of one that nobody compares with any more, by the rows that were
touched since, as replicas do (decision 16). So a window costs what it touched, and no more of them
are in memory than are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.safetensors import TableFile, VersionFile, whole
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChange, RowChanges

_KINDS = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "u1", "BF16": "<u2"}

Touched = Mapping[str, npt.NDArray[np.int64] | None]
"""Rows by file and tensor; ``None`` stands for all."""


class _Step(msgspec.Struct, frozen=True):
    parent: int | None
    version: int
    touched: Touched


class ServedVersions:
    """``models`` by number of the version; nobody else keeps one that is no longer wanted."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.models: dict[int, Recommender] = {}
        self.by_rows = 0
        self._steps: list[_Step] = []

    def publish(
        self,
        manifest: WeightManifest,
        files: Mapping[str, VersionFile],
        compared: Collection[int],
        pinned: Recommender | None,
    ) -> Recommender:
        """Hold the version of ``manifest`` too, and of the others those ``compared`` alone.

        ``pinned`` is not written to, whatever becomes of it here.
        """
        tables = {name: files[name] for name in manifest.replica_files}
        self._steps.append(_Step(manifest.parent, manifest.version, _touched(tables)))
        left = {old: self.models.pop(old) for old in [*self.models] if old not in compared}
        made = None
        for version, spare in left.items():
            if made is None and spare is not pinned and self._device == "cpu":
                made = self._taken(spare, version, manifest, tables)
        if made is None:
            contents = {name: whole(file) for name, file in tables.items()}
            made = Recommender.load(manifest.model, contents, rows=manifest.rows).to(self._device)
        else:
            self.by_rows += 1
        self.models[manifest.version] = made
        oldest = min(self.models)
        self._steps = [step for step in self._steps if step.version > oldest]
        return made

    def _taken(
        self,
        spare: Recommender,
        version: int,
        manifest: WeightManifest,
        tables: Mapping[str, VersionFile],
    ) -> Recommender | None:
        """``spare`` made the newest version; ``None`` where that cannot be, and it is spoilt."""
        path, at = list[Touched](), manifest.parent
        for step in reversed(self._steps):
            if step.version == (manifest.version if not path else at):
                path.append(step.touched)
                at = step.parent
            if at == version:
                break
        else:
            return None
        changes: list[RowChanges] = []
        for name, file in tables.items():
            if not isinstance(file, TableFile):
                return None
            changes.append(_changes(name, file, path))
        try:
            spare.take(*changes)
        except CorruptVersion:  # tables of another form: wider ids, the first trends
            return None
        return spare


def _touched(tables: Mapping[str, VersionFile]) -> Touched:
    return {
        f"{name}/{tensor}": None
        if table.touched is None
        else np.frombuffer(table.touched, np.int64)
        for name, file in tables.items()
        if isinstance(file, TableFile)
        for tensor, table in file.tensors.items()
    }


def _changes(name: str, file: TableFile, path: list[Touched]) -> RowChanges:
    changes: dict[str, RowChange] = {}
    for tensor, table in file.tensors.items():
        parts = [touched.get(f"{name}/{tensor}") for touched in path]
        known = [rows for rows in parts if rows is not None]
        rows = np.unique(np.concatenate(known)) if len(known) == len(parts) else None
        data = np.frombuffer(table.data, _KINDS[table.dtype]).reshape(table.shape)
        changes[tensor] = RowChange(table.shape, rows, data if rows is None else data[rows])
    return changes

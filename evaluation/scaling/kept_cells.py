"""Finished cells in a folder, a file each, so that a grid goes on where it was killed.

A file is named by all that its cell follows from: what was learnt and measured, and the settings.
So a folder may hold cells of several grids, and a grid with one more size runs that alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from everfresh.contracts.errors import SettingsError
from everfresh.evaluation.scaling.lines import Cell, decode_cell, encode_scaling


class KeptCells:
    """``digest`` is of the events, the window and all settings but size and seed."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self._digest = digest

    def find(self, size: str, events: int, seed: int) -> Cell | None:
        """The cell, if it is there whole; anything else in its place is no cell."""
        try:
            cell = decode_cell(self._path(size, events, seed).read_bytes())
        except OSError:
            return None
        same = cell is not None and (cell.size, cell.events, cell.seed) == (size, events, seed)
        return cell if same else None

    def keep(self, cell: Cell) -> None:
        """It appears by one rename. ``SettingsError`` where it cannot be written."""
        path = self._path(cell.size, cell.events, cell.seed)
        draft = path.with_suffix(".draft")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(encode_scaling(cell))
            draft.rename(path)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be written ({error.strerror}); name another folder by --folder, "
                "or make room, and run the command again: finished cells are kept"
            ) from None

    def _path(self, size: str, events: int, seed: int) -> Path:
        return self.folder / f"{size}-{events}-seed{seed}-{self._digest}.json"


def digest_of(*parts: bytes) -> str:
    """Twelve hex digits that name these bytes."""
    return hashlib.blake2b(b"\0".join(parts), digest_size=6).hexdigest()

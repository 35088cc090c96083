"""The folder of HAProxy's sockets: it lasts as long as the door, which may outlive its driver."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "ef-"


class SocketFolder:
    """A new folder below ``root``, open to its owner alone. ``<home>/run/sockets`` names the one of
    the door that this home has opened."""

    def __init__(self, home: Path, root: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._record = home / "run" / "sockets"
        self._stays = False

    def use(self) -> None:
        """A door opens with this folder; the one of an earlier door goes."""
        _remove(self._recorded())
        self._record.write_text(str(self.path))

    def keep(self) -> None:
        """The door that this home has opened stays for others when this process ends."""
        self._stays = True

    def close(self) -> None:
        """Remove it, unless the door has it and stays."""
        if self._stays:
            if self._recorded() != self.path:
                _remove(self.path)
            return
        _remove(self.path)
        if self._recorded() == self.path:
            self._record.unlink(missing_ok=True)

    def _recorded(self) -> Path | None:
        with contextlib.suppress(OSError):
            return Path(self._record.read_text())
        return None


@contextlib.contextmanager
def socket_folder(home: Path, root: Path) -> Iterator[SocketFolder]:
    """The folder for a driver's life."""
    folder = SocketFolder(home, root)
    try:
        yield folder
    finally:
        folder.close()


def _remove(folder: Path | None) -> None:
    # Whatever the record says, nothing but a folder of this kind is removed.
    if folder is not None and folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)

"""What a weight or snapshot store asks of the place of its files, and how that is said to fail."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from everfresh.contracts.errors import CorruptVersion, WeightsError


class Blobs(Protocol):
    """Called by the stores of weights (``adapters.weights``) and snapshots (``adapters.state``)."""

    def get(self, name: str, most: int) -> bytes | None:
        """The bytes, ``None`` where there is no such file; ``CorruptVersion`` beyond ``most``."""

    def put(self, name: str, data: bytes) -> None:
        """Create or replace a file as a whole. Call it within ``exclusive``."""

    def remove(self, name: str) -> None:
        """Remove a file; harmless where there is none."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all in it; harmless where there is none."""

    def folders(self, under: str = "") -> list[str]:
        """Names of the folders at the top, or in ``under``; empty where that is missing."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file in a folder, by name; empty where there is no such folder."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other writers on this store out, as far as the store allows."""


def bounded(data: bytes, size: int, most: int, path: object) -> bytes:
    """The bytes; ``CorruptVersion`` where there are more than ``most``."""
    if (found := max(size, len(data))) > most:
        raise CorruptVersion(f"{path} has {found:,} bytes; at most {most:,} were expected")
    return data


def unusable(root: object, setting: str, error: Exception) -> WeightsError:
    """The error of a store that failed so; ``setting`` is what the operator can change."""
    # The text of an error that is not the system's may say nothing without its kind.
    reason = error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return WeightsError(
        f"the store {root} cannot be used: {reason}; check its free space, its permissions (for "
        f"s3 the AWS_… variables) and the connection to it, or set {setting} to another place"
    )

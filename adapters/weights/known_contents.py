"""What a process knows of contents it has read or written: enough to name and shrink the next.

Of a file that is handed over as tables: its digests, which the rows that were touched bring up to
date. Of any other: its bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from everfresh.adapters.weights.row_digests import FileDigests, Rows
from everfresh.adapters.weights.version_folder import weight_file
from everfresh.contracts.manifest import WeightFile, WeightManifest
from everfresh.contracts.safetensors import TableFile, VersionFile

_KEPT = 3
"""Digests of so many contents of a name: a trainer also reads the parents of its probations."""


@dataclass(frozen=True)
class Named:
    """What a file that was handed over is called in a manifest.

    ``changes`` are rows by tensor, beside the content that the digest ``base`` names; there are
    none, and ``base`` is empty, where nothing is known of the parent's.
    """

    contents: VersionFile
    file: WeightFile
    base: str = ""
    changes: Mapping[str, Rows | None] | None = None


class KnownContents:
    """For one thread, as its store is."""

    def __init__(self) -> None:
        self._digests: dict[str, OrderedDict[str, FileDigests]] = {}
        self._bytes: dict[str, tuple[WeightFile, bytes]] = {}
        self._named: dict[str, Named] = {}

    def name_files(
        self, parent: WeightManifest | None, files: Mapping[str, VersionFile]
    ) -> dict[str, Named]:
        """Each file by name, with what it changes of ``parent``; the same again for the same."""
        bases = {file.name: file.digest for file in parent.files} if parent else {}
        return {name: self._name(name, bases.get(name, ""), files[name]) for name in sorted(files)}

    def _name(self, name: str, base: str, contents: VersionFile) -> Named:
        if not isinstance(contents, TableFile):
            return Named(contents, weight_file(name, contents))
        last = self._named.get(name)
        if last is not None and last.contents is contents and last.base in ("", base):
            return last
        known = self._digests.get(name, OrderedDict()).pop(base, None)
        digests = known or FileDigests()
        changes = digests.take_in(contents)
        self.keep(name, digests)
        file = WeightFile(name, "", len(contents), digests.root)
        named = Named(contents, file, base, changes) if known else Named(contents, file)
        self._named[name] = named
        return named

    def keep(self, name: str, digests: FileDigests) -> None:
        """Remember them as those of the newest content of that name."""
        kept = self._digests.setdefault(name, OrderedDict())
        kept[digests.root] = digests
        kept.move_to_end(digests.root)
        while len(kept) > _KEPT:
            kept.popitem(last=False)

    def written(self, named: Mapping[str, Named]) -> None:
        """Let go of tables that were handed over: they are about to change. Keep other bytes."""
        self._named.clear()
        for file in named.values():
            if not isinstance(file.contents, TableFile):
                self.keep_bytes(file.file, bytes(file.contents))

    def keep_bytes(self, file: WeightFile, data: bytes) -> None:
        """The newest content of that name."""
        self._bytes[file.name] = file, data

    def bytes_of(self, file: WeightFile) -> bytes | None:
        """Its content, if it is the newest of that name."""
        kept = self._bytes.get(file.name)
        return kept[1] if kept is not None and kept[0] == file else None

    def drop_bytes(self, name: str) -> None:
        """Of a file that its reader has."""
        self._bytes.pop(name, None)

"""The files of a weight or snapshot store: on a local disk, or anywhere through fsspec.

Names are relative, with ``/`` between their parts. ``put`` replaces a file as a whole: a reader
sees the old bytes or the new ones. On a local disk the file is durable when ``put`` returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import fsspec

from everfresh.adapters.blob_port import Blobs, bounded, unusable
from everfresh.contracts.errors import (
    CorruptVersion,
    MissingDependency,
    SettingsError,
    WeightsError,
)
from everfresh.contracts.settings.group import is_folder

_DRAFT = ".draft"
"""Ends the names of files that are being written. They begin with a dot; stored names never do."""

_BUCKETS = {"s3", "s3a", "gs", "gcs", "az", "abfs"}
"""Stores without folders: asked for one they make a bucket, whose name may be misspelt."""


def open_blobs(url: str, setting: str = "weights.url") -> Blobs:
    """The files below a folder or an fsspec URL; ``setting`` is what the operator can change.

    ``SettingsError`` for a URL of an unknown kind, ``MissingDependency`` where the package for it
    is not installed.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise SettingsError(
            f"{setting} is {url!r}: {error}; expected a folder or an fsspec URL such as "
            "s3://bucket/folder"
        ) from None
    except ImportError as error:
        raise MissingDependency(
            f"{setting} is {url!r} and needs a package that is not installed: {error}"
        ) from None
    if is_folder(url):
        return LocalBlobs(Path(root), setting)
    return RemoteBlobs(filesystem, root, setting)


class LocalBlobs:
    """A folder on a disk of this machine; created by the first write."""

    def __init__(self, root: Path, setting: str = "weights.url") -> None:
        self._root = root
        self._setting = setting
        self._swept = False

    def get(self, name: str, most: int) -> bytes | None:
        """See :class:`Blobs`."""
        path = self._root / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = b"" if size > most else file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unusable(error) from None
        return bounded(data, size, most, path)

    def put(self, name: str, data: bytes) -> None:
        """See :class:`Blobs`: a draft beside it, fsync, rename, fsync of the folder."""
        path = self._root / name
        try:
            _make_durable_folder(path.parent)
            handle, draft = tempfile.mkstemp(_DRAFT, f".{path.name}.", path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(draft).replace(path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)
        except OSError as error:
            raise self._unusable(error) from None

    def remove(self, name: str) -> None:
        """See :class:`Blobs`."""
        path = self._root / name
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)
        except OSError as error:
            raise self._unusable(error) from None

    def remove_folder(self, name: str) -> None:
        """See :class:`Blobs`."""
        try:
            shutil.rmtree(self._root / name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from None

    def folders(self, under: str = "") -> list[str]:
        """See :class:`Blobs`."""
        try:
            return [entry.name for entry in (self._root / under).iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from None

    def sizes(self, folder: str) -> dict[str, int]:
        """See :class:`Blobs`."""
        try:
            entries = [entry for entry in (self._root / folder).iterdir() if entry.is_file()]
            return {entry.name: entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(error) from None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """See :class:`Blobs`: a lock that the system releases when its holder dies.

        The first call removes drafts. They are made under the lock alone, so drafts that are there
        now were left by writers that were killed.
        """
        try:
            _make_durable_folder(self._root)
            lock = (self._root / ".lock").open("w")
        except OSError as error:
            raise self._unusable(error) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._swept:
                self._sweep()
                self._swept = True
            yield

    def _sweep(self) -> None:
        try:
            for folder, _, names in os.walk(self._root):
                for name in names:
                    if name.startswith(".") and name.endswith(_DRAFT):
                        Path(folder, name).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> WeightsError:
        return unusable(self._root, self._setting, error)


class RemoteBlobs:
    """Any fsspec file system whose writes replace an object as a whole (object stores, memory).

    There is no lock: the operator must see to it that one process at a time writes. The library
    behind the URL raises errors of its own kinds; all of them become ``WeightsError`` here.
    """

    def __init__(self, filesystem: Any, root: str, setting: str = "weights.url") -> None:
        self._filesystem = filesystem
        self._has_folders = not _kinds(filesystem) & _BUCKETS
        self._root = root.rstrip("/")
        self._setting = setting

    def get(self, name: str, most: int) -> bytes | None:
        """See :class:`Blobs`: one request, whether the file is there or not, never a cache.

        It asks for one byte more than there may be: a longer file is refused without the rest.
        """
        path = self._path(name)
        try:
            with self._as_weights_error():
                self._filesystem.invalidate_cache(path)
                data = self._beginning(path, most + 1)
        except FileNotFoundError:
            return None
        if len(data) > most:
            raise CorruptVersion(f"{path} has more than {most:,} bytes, which is the most expected")
        return data

    def put(self, name: str, data: bytes) -> None:
        """See :class:`Blobs`: one request that stores the whole object."""
        path = self._path(name)
        try:
            with self._as_weights_error():
                if self._has_folders:
                    self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._filesystem.pipe_file(path, data)
        except FileNotFoundError as error:  # there is no such bucket
            raise self._unusable(error) from None

    def remove(self, name: str) -> None:
        """See :class:`Blobs`."""
        with contextlib.suppress(FileNotFoundError), self._as_weights_error():
            self._filesystem.rm_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """See :class:`Blobs`."""
        with contextlib.suppress(FileNotFoundError), self._as_weights_error():
            self._filesystem.rm(self._path(name), recursive=True)

    def folders(self, under: str = "") -> list[str]:
        """See :class:`Blobs`; lists the store again, never from a cache."""
        entries = self._listed(self._path(under) if under else self._root)
        return [_last_name(entry) for entry in entries if entry["type"] == "directory"]

    def sizes(self, folder: str) -> dict[str, int]:
        """See :class:`Blobs`; lists the store again, as ``folders`` does."""
        entries = self._listed(self._path(folder))
        return {_last_name(entry): entry["size"] for entry in entries if entry["type"] == "file"}

    def exclusive(self) -> AbstractContextManager[None]:
        """See :class:`Blobs`: there is no lock here."""
        return contextlib.nullcontext()

    def _listed(self, path: str) -> list[dict[str, Any]]:
        try:
            with self._as_weights_error():
                self._filesystem.invalidate_cache(path)
                return list(self._filesystem.ls(path, detail=True))
        except FileNotFoundError:
            return []

    def _beginning(self, path: str, length: int) -> bytes:
        """At most so many bytes from the start of a file."""
        try:
            return bytes(self._filesystem.cat_file(path, start=0, end=length))
        except Exception as error:
            # An empty file has no such range, and S3 refuses the request for it.
            if "range" in str(error).lower() and self._filesystem.size(path) == 0:
                return b""
            raise

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _as_weights_error(self) -> Iterator[None]:
        """Turn every error into ours, except ``FileNotFoundError``, which may be an answer."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> WeightsError:
        return unusable(self._root, self._setting, error)


def _last_name(entry: dict[str, Any]) -> str:
    return str(entry["name"].rstrip("/").rpartition("/")[2])


def _make_durable_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kinds(filesystem: Any) -> set[str]:
    kinds = filesystem.protocol
    return {kinds} if isinstance(kinds, str) else set(kinds)

"""One file of a version as an exact difference from its parent's file: the changed rows.

A delta applies only to its named parent (law 6). It names the file, the parent, the version and
the sha256 of both contents. Applying it gives back the new bytes, or raises. Rows are overwritten,
never added to, so applying it twice is harmless.

A delta is itself a safetensors file, with those names as metadata. For a safetensors file it holds

    header          U8  the new file's header, so that its bytes come back as they were
    rows/TENSOR     U32 numbers of the rows (first dimension) that changed or are new
    data/TENSOR     U8  (rows, bytes per row): their new contents
    full/TENSOR     U8  the whole tensor instead, where that is smaller

and of any other file

    patch           U8  zstd with the parent's file as prefix

What a delta may make is bounded by the bytes there are, of it and of its parent: it says nothing of
sizes that is believed. A store where others can write costs no more memory than its files do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from everfresh.adapters.weights.patches import apply_patch, encode_patch, most_made
from everfresh.adapters.weights.tensor_bytes import Bytes, places_if_safetensors, view
from everfresh.contracts.errors import CorruptVersion, WrongParent
from everfresh.contracts.safetensors import (
    TensorPlace,
    data_start,
    declared_places,
    file_metadata,
)

DELTA_FORMAT = "everfresh.delta/1"
_METADATA = "everfresh"
_HEADER, _PATCH = "header", "patch"
_ROWS, _DATA, _FULL = "rows/", "data/", "full/"
INDEX_BYTES = 4


class DeltaName(msgspec.Struct, frozen=True):
    """What a delta leads from and to: a file of ``parent`` becomes that file of ``version``."""

    file: str
    parent: int
    version: int


class ChangedRows(msgspec.Struct, frozen=True):
    """Rows ``rows`` of one tensor and their new bytes ``(len(rows), row bytes)``."""

    rows: npt.NDArray[np.uint32]
    data: Bytes


class TensorChange(msgspec.Struct, frozen=True):
    """A tensor of the new file. ``data`` has the bytes of ``rows``, or of all where ``None``."""

    dtype: str
    shape: tuple[int, ...]
    rows: npt.NDArray[np.uint32] | None
    data: Bytes


class Overwrites(msgspec.Struct, frozen=True):
    """The new file's header, and the change of each of its tensors."""

    header: bytes
    changes: dict[str, TensorChange]


def encode_delta(name: DeltaName, parent: bytes, child: bytes) -> bytes:
    """The delta that makes ``child`` of ``parent``; equal input gives equal bytes."""
    before, after = places_if_safetensors(parent), places_if_safetensors(child)
    if before is None or after is None:
        tensors = {_PATCH: np.frombuffer(encode_patch(parent, child), np.uint8)}
    else:
        tensors = {_HEADER: view(child, 0, data_start(child))}
        for tensor, place in after.items():
            tensors |= _encode_tensor(tensor, before.get(tensor), place, parent, child)
    digests = hashlib.sha256(parent).hexdigest(), hashlib.sha256(child).hexdigest()
    return encode_tensors(name, None, tensors, digests)


def encode_tensors(
    name: DeltaName, header: bytes | None, tensors: dict[str, Bytes], digests: tuple[str, str]
) -> bytes:
    """A delta of these ``tensors``, named as above; ``digests`` are of the parent and the child."""
    metadata = {
        "format": DELTA_FORMAT,
        "file": name.file,
        "parent": str(name.parent),
        "version": str(name.version),
        "parent_sha256": digests[0],
        "sha256": digests[1],
    }
    if header is not None:
        tensors = {_HEADER: np.frombuffer(header, np.uint8), **tensors}
    # One key, because safetensors writes several in no fixed order.
    return save(tensors, {_METADATA: json.dumps(metadata)})


def apply_delta(
    name: DeltaName, parent: bytes, delta: bytes, parent_sha256: str | None = None
) -> bytes:
    """The new file. ``WrongParent`` where the delta was made from or for another file.

    ``CorruptVersion`` on foreign or damaged bytes, and where the result is not what it names.
    ``parent_sha256`` saves hashing a parent whose contents were verified already.
    """
    metadata, tensors = open_delta(name, delta)
    digest = parent_sha256 or hashlib.sha256(parent).hexdigest()
    if digest != metadata["parent_sha256"]:
        raise WrongParent(
            f"the delta of {name.file} leads from version {name.parent} to {name.version} and was "
            f"made from a file with sha256 {metadata['parent_sha256']}; the parent here has "
            f"{digest}; take the nearest full snapshot"
        )
    try:
        if _PATCH in tensors:
            child = apply_patch(parent, tensors[_PATCH].tobytes(), most_made(parent, delta))
        else:
            child = _built(parent, tensors)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise _damaged(name, str(error)) from None
    if hashlib.sha256(child).hexdigest() != metadata["sha256"]:
        raise _damaged(name, "the result has another sha256 than it names")
    return child


def open_delta(name: DeltaName, delta: bytes) -> tuple[dict[str, str], dict[str, Bytes]]:
    """A delta's metadata and tensors as bytes, once both names hold; nothing is applied."""
    tables = places_if_safetensors(delta)
    metadata = _metadata(delta) if tables is not None else {}
    if tables is None or metadata.get("format") != DELTA_FORMAT:
        raise _damaged(name, f"format {DELTA_FORMAT} expected")
    named = (metadata.get("file"), metadata.get("parent"), metadata.get("version"))
    if named != (name.file, str(name.parent), str(name.version)):
        raise WrongParent(
            f"a delta of {name.file} from version {name.parent} to {name.version} was expected; "
            f"found one of {named[0]} from version {named[1]} to {named[2]}"
        )
    if missing := {"parent_sha256", "sha256"} - metadata.keys():
        raise _damaged(name, f"{min(missing)} is not in it")
    return metadata, {key: view(delta, at.begin, at.end) for key, at in tables.items()}


def read_changes(name: DeltaName, delta: bytes, hashes: tuple[str, str]) -> Overwrites:
    """What the delta overwrites, for a caller that has the parent's tensors.

    ``hashes`` are the digests of the parent's and the child's whole files, as their manifests say:
    sha256, or roots (``adapters.weights.row_digests``).
    ``WrongParent`` where the delta is between other files. ``CorruptVersion`` where it is damaged
    or not of a safetensors file.
    """
    metadata, tensors = open_delta(name, delta)
    if (metadata["parent_sha256"], metadata["sha256"]) != hashes:
        raise WrongParent(
            f"the delta of {name.file} leads from version {name.parent} to {name.version} between "
            f"files with sha256 {metadata['parent_sha256']} and {metadata['sha256']}; those here "
            f"have {hashes[0]} and {hashes[1]}; take the nearest full snapshot"
        )
    try:
        header = tensors[_HEADER].tobytes()
        changes = {
            tensor: _overwrite(tensors, tensor, at)
            for tensor, at in declared_places(header).items()
        }
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(name, str(error)) from None
    return Overwrites(header, changes)


def content_sha256(header: bytes, tensors: Mapping[str, memoryview]) -> str:
    """The sha256 of the safetensors file with this header and these contents, without making it."""
    digest = hashlib.sha256(header)
    for name, _ in sorted(
        declared_places(header).items(), key=lambda entry: (entry[1].begin, entry[1].end)
    ):
        digest.update(tensors[name])
    return digest.hexdigest()


def _overwrite(tensors: dict[str, Bytes], name: str, at: TensorPlace) -> TensorChange:
    change = changed_rows(tensors, name, at.row_bytes)
    if change is None:
        return TensorChange(at.dtype, at.shape, None, tensors[_FULL + name])
    return TensorChange(at.dtype, at.shape, change.rows, change.data)


def changed_rows(tensors: dict[str, Bytes], tensor: str, row_bytes: int) -> ChangedRows | None:
    """The changed rows of a tensor, ``None`` where the delta holds it whole."""
    if _FULL + tensor in tensors:
        return None
    rows = tensors[_ROWS + tensor].view(np.uint32)
    if (rows[1:] <= rows[:-1]).any():
        raise ValueError(f"the rows of {tensor} are not in order")
    return ChangedRows(rows, tensors[_DATA + tensor].reshape(len(rows), row_bytes))


def _encode_tensor(
    name: str, before: TensorPlace | None, after: TensorPlace, parent: bytes, child: bytes
) -> dict[str, Bytes]:
    whole = {_FULL + name: view(child, after.begin, after.end)}
    alike = before is not None and (before.dtype, before.shape[1:]) == (
        after.dtype,
        after.shape[1:],
    )
    if before is None or not alike or not after.shape or not after.row_bytes:
        return whole
    new = view(child, after.begin, after.end).reshape(after.rows, after.row_bytes)
    old = view(parent, before.begin, before.end).reshape(before.rows, after.row_bytes)
    rows = _changed(old, new)
    if len(rows) * (after.row_bytes + INDEX_BYTES) >= after.end - after.begin:
        return whole
    return {_ROWS + name: rows.view(np.uint8), _DATA + name: new[rows].reshape(-1)}


def _changed(old: Bytes, new: Bytes) -> npt.NDArray[np.uint32]:
    """Numbers of the rows of ``new`` that differ from ``old`` in any bit, or are beyond it."""
    common = min(len(old), len(new))
    width = new.shape[1]
    # Comparing words of up to 8 bytes is several times faster than comparing bytes.
    kind = next(f"u{size}" for size in (8, 4, 2, 1) if width % size == 0)
    differ = (old[:common].view(kind) != new[:common].view(kind)).any(axis=1)
    beyond = np.arange(common, len(new), dtype=np.uint32)
    return np.concatenate([np.flatnonzero(differ).astype(np.uint32), beyond])


def _built(parent: bytes, tensors: dict[str, Bytes]) -> bytes:
    header = tensors[_HEADER].tobytes()
    before, after = places_if_safetensors(parent) or {}, declared_places(header)
    known = {_HEADER} | {kind + name for name in after for kind in (_ROWS, _DATA, _FULL)}
    if unknown := tensors.keys() - known:
        raise ValueError(f"no tensor of the file is called {min(unknown)!r}")
    for name, at in after.items():
        _require_brought(name, at, before.get(name), changed_rows(tensors, name, at.row_bytes))
    child = np.empty(max((at.end for at in after.values()), default=len(header)), np.uint8)
    child[: len(header)] = tensors[_HEADER]
    for name, at in after.items():
        target = child[at.begin : at.end]
        change = changed_rows(tensors, name, at.row_bytes)
        if change is None:
            target[:] = tensors[_FULL + name]
            continue
        common = min(at.end - at.begin, before[name].end - before[name].begin)
        target[:common] = view(parent, before[name].begin, before[name].begin + common)
        target.reshape(at.rows, at.row_bytes)[change.rows] = change.data
    return child.tobytes()


def _require_brought(
    name: str, at: TensorPlace, before: TensorPlace | None, change: ChangedRows | None
) -> None:
    """``ValueError`` unless the delta holds all that is not in the parent, before any of it is
    given room."""
    if change is None:
        return
    if before is None or (at.dtype, at.shape[1:]) != (before.dtype, before.shape[1:]):
        raise ValueError(f"{name} is no tensor of the parent with other rows")
    listed = len(change.rows) - int(np.searchsorted(change.rows, before.rows))
    if at.rows - before.rows > listed:
        raise ValueError(
            f"{name} is said to have {at.rows:,} rows, the parent has {before.rows:,}, and "
            f"{listed:,} new ones are here"
        )


def _metadata(delta: bytes) -> dict[str, str]:
    try:
        text = file_metadata(delta).get(_METADATA, "{}")
        return msgspec.json.decode(text, type=dict[str, str])
    except (ValueError, msgspec.MsgspecError):
        return {}


def _damaged(name: DeltaName, why: str) -> CorruptVersion:
    return CorruptVersion(
        f"the delta of {name.file} from version {name.parent} to {name.version} is damaged or "
        f"foreign: {why}; the nearest full snapshot is needed"
    )

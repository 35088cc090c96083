"""One file of a version as its difference from the parent's: changed rows, exactly.

Law 6, a delta applies only to its named parent. It names file, parent, version and the sha256 of
both contents, and gives back the new bytes or raises. Rows are overwritten, never added to, so
applying twice is harmless.

A delta is itself safetensors, with what it names as metadata. Of a safetensors file it holds

    header          U8  the new file's header, so that its bytes come back as they were
    rows/TENSOR     U32 numbers of the rows (first dimension) that changed or are new
    data/TENSOR     U8  (rows, bytes per row): their new contents
    full/TENSOR     U8  the whole tensor instead, where that is smaller

and of any other file

    patch           U8  zstd with the parent's file as prefix
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from backports import zstd
from safetensors.numpy import save

from contracts.errors import CorruptVersion, WrongParent

FORMAT = "everfresh.delta/1"
_METADATA = "everfresh"
_HEADER, _PATCH = "header", "patch"
_ROWS, _DATA, _FULL = "rows/", "data/", "full/"
_INDEX_BYTES = 4
_PREFIX_MIN = 8  # zstd takes no shorter prefix
_ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2}
_ITEM_BYTES |= {"F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}

Bytes = npt.NDArray[np.uint8]


class DeltaName(msgspec.Struct, frozen=True):
    """What a delta leads from and to: a file of ``parent`` becomes that file of ``version``."""

    file: str
    parent: int
    version: int


class Tensor(msgspec.Struct, frozen=True):
    """One tensor as a safetensors header places it; ``begin`` and ``end`` count file bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def rows(self) -> int:
        """Length of the first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, 0 where there are none."""
        return (self.end - self.begin) // self.rows if self.rows else 0


class Change(msgspec.Struct, frozen=True):
    """Rows ``rows`` of one tensor and their new bytes ``(len(rows), row bytes)``."""

    rows: npt.NDArray[np.uint32]
    data: Bytes


def encode_delta(name: DeltaName, parent: bytes, child: bytes) -> bytes:
    """The delta that makes ``child`` of ``parent``; equal input gives equal bytes."""
    before, after = _layout(parent), _layout(child)
    if before is None or after is None:
        tensors = {_PATCH: _patch(parent, child)}
    else:
        tensors = {_HEADER: _view(child, 0, _data_start(child))}
        for tensor, placed in after.items():
            tensors |= _encode_tensor(tensor, before.get(tensor), placed, parent, child)
    metadata = {
        "format": FORMAT,
        "file": name.file,
        "parent": str(name.parent),
        "version": str(name.version),
        "parent_sha256": hashlib.sha256(parent).hexdigest(),
        "sha256": hashlib.sha256(child).hexdigest(),
    }
    # One key, because safetensors writes several in no fixed order.
    return save(tensors, {_METADATA: json.dumps(metadata)})


def apply_delta(
    name: DeltaName, parent: bytes, delta: bytes, parent_sha256: str | None = None
) -> bytes:
    """The new file. ``WrongParent`` where the delta is made from or for something else.

    ``CorruptVersion`` on foreign or damaged bytes, and where the result is not what it names.
    ``parent_sha256`` saves hashing a parent that was verified already.
    """
    metadata, tensors = open_delta(name, delta)
    found = parent_sha256 or hashlib.sha256(parent).hexdigest()
    if found != metadata["parent_sha256"]:
        raise WrongParent(
            f"the delta of {name.file} leads from version {name.parent} to {name.version} and was "
            f"made from a file with sha256 {metadata['parent_sha256']}; the parent here has "
            f"{found}; take the nearest full snapshot"
        )
    try:
        child = _unpatch(parent, tensors[_PATCH]) if _PATCH in tensors else _built(parent, tensors)
    except (KeyError, ValueError, IndexError, TypeError, zstd.ZstdError) as error:
        raise _damaged(name, str(error)) from None
    if hashlib.sha256(child).hexdigest() != metadata["sha256"]:
        raise _damaged(name, "the result has another sha256 than it names")
    return child


def open_delta(name: DeltaName, delta: bytes) -> tuple[dict[str, str], dict[str, Bytes]]:
    """A delta's metadata and tensors as bytes, once both names hold; nothing is applied."""
    placed = _layout(delta)
    metadata = _metadata(delta) if placed is not None else {}
    if placed is None or metadata.get("format") != FORMAT:
        raise _damaged(name, f"format {FORMAT} expected")
    said = (metadata.get("file"), metadata.get("parent"), metadata.get("version"))
    if said != (name.file, str(name.parent), str(name.version)):
        raise WrongParent(
            f"a delta of {name.file} from version {name.parent} to {name.version} was expected; "
            f"found one of {said[0]} from version {said[1]} to {said[2]}"
        )
    if missing := {"parent_sha256", "sha256"} - metadata.keys():
        raise _damaged(name, f"{min(missing)} is not in it")
    return metadata, {key: _view(delta, at.begin, at.end) for key, at in placed.items()}


def change_of(tensors: dict[str, Bytes], tensor: str, row_bytes: int) -> Change | None:
    """The changed rows of a tensor, ``None`` where the delta holds it whole."""
    if _FULL + tensor in tensors:
        return None
    rows = tensors[_ROWS + tensor].view(np.uint32)
    return Change(rows, tensors[_DATA + tensor].reshape(len(rows), row_bytes))


def _encode_tensor(
    name: str, before: Tensor | None, after: Tensor, parent: bytes, child: bytes
) -> dict[str, Bytes]:
    whole = {_FULL + name: _view(child, after.begin, after.end)}
    alike = before is not None and (before.dtype, before.shape[1:]) == (
        after.dtype,
        after.shape[1:],
    )
    if before is None or not alike or not after.shape or not after.row_bytes:
        return whole
    new = _view(child, after.begin, after.end).reshape(after.rows, after.row_bytes)
    old = _view(parent, before.begin, before.end).reshape(before.rows, after.row_bytes)
    rows = _changed(old, new)
    if len(rows) * (after.row_bytes + _INDEX_BYTES) >= after.end - after.begin:
        return whole
    return {_ROWS + name: rows.view(np.uint8), _DATA + name: new[rows].reshape(-1)}


def _changed(old: Bytes, new: Bytes) -> npt.NDArray[np.uint32]:
    """Numbers of the rows of ``new`` that differ from ``old`` in any bit, or are beyond it."""
    common = min(len(old), len(new))
    width = new.shape[1]
    # Whole rows as one opaque item each compare several times faster than byte by byte.
    kind = next(f"u{size}" for size in (8, 4, 2, 1) if width % size == 0)
    differ = (old[:common].view(kind) != new[:common].view(kind)).any(axis=1)
    beyond = np.arange(common, len(new), dtype=np.uint32)
    return np.concatenate([np.flatnonzero(differ).astype(np.uint32), beyond])


def _built(parent: bytes, tensors: dict[str, Bytes]) -> bytes:
    header = tensors[_HEADER].tobytes()
    before, after = _layout(parent) or {}, _placed(header)
    known = {_HEADER} | {kind + name for name in after for kind in (_ROWS, _DATA, _FULL)}
    if unknown := tensors.keys() - known:
        raise ValueError(f"no tensor of the file is called {min(unknown)!r}")
    child = np.empty(max((at.end for at in after.values()), default=len(header)), np.uint8)
    child[: len(header)] = tensors[_HEADER]
    for name, at in after.items():
        target = child[at.begin : at.end]
        change = change_of(tensors, name, at.row_bytes)
        if change is None:
            target[:] = tensors[_FULL + name]
            continue
        kept = min(at.end - at.begin, before[name].end - before[name].begin)
        target[:kept] = _view(parent, before[name].begin, before[name].begin + kept)
        target.reshape(at.rows, at.row_bytes)[change.rows] = change.data
    return child.tobytes()


def _patch(parent: bytes, child: bytes) -> Bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 3,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
        zstd.CompressionParameter.window_log: _window_log(len(parent) + len(child)),
    }
    prefix = zstd.ZstdDict(parent, is_raw=True).as_prefix if len(parent) > _PREFIX_MIN else None
    packed = zstd.compress(child, options=options, zstd_dict=prefix)
    return np.frombuffer(packed, np.uint8)


def _unpatch(parent: bytes, patch: Bytes) -> bytes:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 31}
    prefix = zstd.ZstdDict(parent, is_raw=True).as_prefix if len(parent) > _PREFIX_MIN else None
    return zstd.decompress(patch.tobytes(), zstd_dict=prefix, options=options)


def _window_log(span: int) -> int:
    """A zstd window that reaches from the end of the new file to the start of the old one."""
    return min(31, max(10, span.bit_length()))


def _layout(raw: bytes) -> dict[str, Tensor] | None:
    """Where each tensor of a safetensors file lies; ``None`` where it is no such file."""
    try:
        placed = _placed(raw)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    sound = all(0 < at.begin <= at.end <= len(raw) for at in placed.values())
    sizes = all(
        at.end - at.begin == int(np.prod(at.shape, dtype=np.int64)) * _ITEM_BYTES.get(at.dtype, -1)
        for at in placed.values()
    )
    return placed if sound and sizes else None


def _placed(raw: bytes) -> dict[str, Tensor]:
    start = _data_start(raw)
    return {
        name: Tensor(
            at["dtype"],
            tuple(at["shape"]),
            start + at["data_offsets"][0],
            start + at["data_offsets"][1],
        )
        for name, at in _header(raw).items()
        if name != "__metadata__"
    }


def _metadata(delta: bytes) -> dict[str, str]:
    said = (_header(delta).get("__metadata__") or {}).get(_METADATA)
    try:
        return msgspec.json.decode(said or "{}", type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def _header(raw: bytes) -> dict[str, Any]:
    found = json.loads(bytes(raw[8 : _data_start(raw)]))
    if not isinstance(found, dict):
        raise ValueError("a safetensors header is a JSON object")
    return found


def _data_start(raw: bytes) -> int:
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or 8 + length > len(raw):
        raise ValueError("shorter than its header says")
    return 8 + length


def _view(raw: bytes, begin: int, end: int) -> Bytes:
    return np.frombuffer(raw, np.uint8, end - begin, begin)


def _damaged(name: DeltaName, why: str) -> CorruptVersion:
    return CorruptVersion(
        f"the delta of {name.file} from version {name.parent} to {name.version} is damaged or "
        f"foreign: {why}; the nearest full snapshot is needed"
    )

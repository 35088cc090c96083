"""The header of a safetensors file: where each tensor lies, so that it can be looked at in place;
and a file as the tables it is made of, before it is one.

A file is ``<8 bytes: length of the header, little-endian> <header: JSON> <data>``. The header maps
a tensor's name to its type, its shape and its place in the data; ``__metadata__`` maps texts to
texts. This module reads and writes headers alone: what a tensor's bytes mean is for its callers.

A trainer writes a version while nothing else runs, so its tables need no copy: what of them a store
keeps is the store's choice, by the rows that their owner has touched since the parent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

METADATA = "__metadata__"
_LENGTH_BYTES = 8
_MOST_HEADER = 2**22
"""Bytes of a header, at most: those of many thousand tensors."""
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2}
ITEM_BYTES |= {"F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}

_Number = Annotated[int, Meta(ge=0, lt=2**53)]
_Shape = Annotated[tuple[_Number, ...], Meta(max_length=8)]


class TensorPlace(msgspec.Struct, frozen=True):
    """One tensor as a header places it; ``begin`` and ``end`` count bytes of the whole file."""

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


class _Entry(msgspec.Struct):
    """A tensor in the header's JSON; offsets count from the end of the header."""

    dtype: str
    shape: _Shape
    data_offsets: tuple[_Number, _Number]


def tensor_places(raw: bytes | memoryview) -> dict[str, TensorPlace]:
    """Where each tensor of a whole file lies.

    ``ValueError`` unless ``raw`` begins with a header whose tensors lie within it, end to end, each
    as long as its type and shape say.
    """
    places = declared_places(raw)
    for name, place in places.items():
        if place.end > len(raw):
            raise _misplaced(name, place, len(raw))
    return places


def declared_places(raw: bytes | memoryview) -> dict[str, TensorPlace]:
    """The same as the header says it, whether or not the data is there.

    ``ValueError`` unless ``raw`` begins with a header whose tensors lie end to end: none begins
    within another, so that all of them together are no larger than the file.
    """
    start = data_start(raw)
    places: dict[str, TensorPlace] = {}
    for name, value in _header(raw).items():
        if name == METADATA:
            continue
        try:
            entry = msgspec.json.decode(value, type=_Entry)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{name}: {error}") from None
        begin, end = entry.data_offsets
        places[name] = TensorPlace(entry.dtype, entry.shape, start + begin, start + end)
    at = start
    for name, place in sorted(places.items(), key=lambda named: (named[1].begin, named[1].end)):
        size = math.prod(place.shape) * ITEM_BYTES.get(place.dtype, -1)
        if place.begin != at or place.end - at != size:
            raise _misplaced(name, place, at)
        at = place.end
    return places


def _misplaced(name: str, place: TensorPlace, length: int) -> ValueError:
    return ValueError(
        f"{name}: no tensor of {place.dtype} {list(place.shape)} lies at {place.begin} to "
        f"{place.end}, after or within {length} bytes"
    )


def file_metadata(raw: bytes | memoryview) -> dict[str, str]:
    """The header's texts, none where it has none. ``ValueError`` unless there is a header."""
    value = _header(raw).get(METADATA)
    try:
        return {} if value is None else msgspec.json.decode(value, type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise ValueError(f"{METADATA}: {error}") from None


def data_start(raw: bytes | memoryview) -> int:
    """Where the header ends; ``ValueError`` where ``raw`` ends before."""
    length = int.from_bytes(raw[:_LENGTH_BYTES], "little")
    if length > _MOST_HEADER:
        raise ValueError(f"a header of {length:,} bytes; at most {_MOST_HEADER:,} were expected")
    start = _LENGTH_BYTES + length
    if len(raw) < max(start, _LENGTH_BYTES):
        raise ValueError("shorter than its header says")
    return start


def _header(raw: bytes | memoryview) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(
            raw[_LENGTH_BYTES : data_start(raw)], type=dict[str, msgspec.Raw]
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a safetensors header is a JSON object: {error}") from None


_ORDER: tuple[str, ...] = (
    "BOOL",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
)
_ORDER += ("F32", "F64", "I64", "U64")
_ALIGNMENT = 8


@dataclass(frozen=True)
class TableBytes:
    """One tensor: ``data`` are all its bytes, row by row.

    ``touched`` are 64-bit numbers of rows, ascending, that may differ from the parent's; rows that
    the parent did not have are all among them. ``None`` where that is not known.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview
    touched: memoryview | None = None


class TableFile:
    """Tensors by name, as a safetensors file has them. Valid until their owner changes them."""

    def __init__(self, tensors: Mapping[str, TableBytes]) -> None:
        self.tensors = tensors
        self.header = _header_of(tensors)

    def places(self) -> dict[str, TensorPlace]:
        """Where each tensor lies in :meth:`to_bytes`."""
        return declared_places(self.header)

    def __len__(self) -> int:
        return len(self.header) + sum(len(tensor.data) for tensor in self.tensors.values())

    def to_bytes(self) -> bytes:
        """The whole safetensors file: a copy; equal tensors give equal bytes."""
        in_order = sorted(self.places().items(), key=lambda named: (named[1].begin, named[1].end))
        return b"".join([self.header, *(self.tensors[name].data for name, _ in in_order)])


VersionFile = bytes | TableFile
"""What a trainer hands to a store."""


def whole(file: VersionFile) -> bytes:
    """All of its bytes."""
    return file.to_bytes() if isinstance(file, TableFile) else file


def table_file(raw: bytes) -> TableFile:
    """The tables of a file that :meth:`TableFile.to_bytes` made, in place; none is known to be
    touched. ``ValueError`` for anything else."""
    tensors = {
        name: TableBytes(place.dtype, place.shape, memoryview(raw)[place.begin : place.end])
        for name, place in tensor_places(raw).items()
    }
    return TableFile(tensors)


def _header_of(tensors: Mapping[str, TableBytes]) -> bytes:
    """As the safetensors library writes it: the widest types first, then by name."""
    entries: dict[str, object] = {}
    at = 0
    order = {dtype: place for place, dtype in enumerate(_ORDER)}
    for name in sorted(tensors, key=lambda name: (-order[tensors[name].dtype], name)):
        tensor = tensors[name]
        size = ITEM_BYTES[tensor.dtype]
        for length in tensor.shape:
            size *= length
        if len(tensor.data) != size:
            raise ValueError(f"{name}: {len(tensor.data)} bytes are no {list(tensor.shape)}")
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    raw = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % _ALIGNMENT)
    return len(raw).to_bytes(8, "little") + raw

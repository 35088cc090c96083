"""Where the tensors of a safetensors file lie, so that they can be looked at in place."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

_ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2}
_ITEM_BYTES |= {"F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}

Bytes = npt.NDArray[np.uint8]


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


def layout(raw: bytes) -> dict[str, Tensor] | None:
    """Where each tensor of a safetensors file lies; ``None`` where it is no such file."""
    try:
        found = placed(raw)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    sound = all(0 < at.begin <= at.end <= len(raw) for at in found.values())
    sizes = all(
        at.end - at.begin == int(np.prod(at.shape, dtype=np.int64)) * _ITEM_BYTES.get(at.dtype, -1)
        for at in found.values()
    )
    return found if sound and sizes else None


def placed(raw: bytes) -> dict[str, Tensor]:
    """As :func:`layout`, of a file that begins with a sound header; else any error."""
    start = data_start(raw)
    return {
        name: Tensor(
            at["dtype"],
            tuple(at["shape"]),
            start + at["data_offsets"][0],
            start + at["data_offsets"][1],
        )
        for name, at in header_of(raw).items()
        if name != "__metadata__"
    }


def header_of(raw: bytes) -> dict[str, Any]:
    """The parsed header; ``ValueError`` where there is none."""
    found = json.loads(bytes(raw[8 : data_start(raw)]))
    if not isinstance(found, dict):
        raise ValueError("a safetensors header is a JSON object")
    return found


def data_start(raw: bytes) -> int:
    """Where the header ends; ``ValueError`` where the file ends before."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or 8 + length > len(raw):
        raise ValueError("shorter than its header says")
    return 8 + length


def view(raw: bytes, begin: int, end: int) -> Bytes:
    """Bytes ``begin`` to ``end``, without a copy."""
    return np.frombuffer(raw, np.uint8, end - begin, begin)

"""Item rows in fewer bytes, for replicas: bfloat16, or eight bits with a scale of each row's own.

A replica reads them back into float32 and computes with that. Encoding what was decoded gives the
same bytes again, so that a replica which overwrote some rows can show that its whole table is the
one the manifest names. For eight bits that rests on the scale: with at most 16 significant bits its
product with 127 is exact, and so is the quotient.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import Rows, weights_file
from everfresh.model.row_changes import RowChange
from everfresh.model.weights import view_tensors

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "int8": torch.uint8}
_MOST = 127
_SCALE_BYTES = 4
_UNUSED_BITS = 0xFF
"""Low bits of a scale that are zero: 24 significant bits less the 8 of a number."""
_LEAST = 1e-30
"""Rows whose largest number is below count as zero; scales would lose bits down there."""


def view_rows(raw: bytes | memoryview, rows: Rows, needed: str) -> dict[str, Tensor]:
    """The file of weights with such rows, as ``view_tensors`` has it, but its items decoded.

    ``CorruptVersion`` where they are missing, or the tensor that is ``needed`` beside them.
    """
    file = weights_file(rows)
    tensors = view_tensors(raw, file)
    if not {needed, "items"} <= tensors.keys():
        raise CorruptVersion(f"{file}: no {needed} or no items in it; take another version")
    return {**tensors, "items": decode_rows(tensors["items"], rows, file)}


def encode_rows(table: Tensor, rows: Rows) -> Tensor:
    """Rows ``(n, dim)`` as they are kept: ``(n, dim)``, or ``(n, 4 + dim)`` bytes for ``int8``."""
    if rows == "float32":
        return table
    if rows == "bf16":
        return table.to(torch.bfloat16)
    peaks = table.abs().amax(dim=1)
    scales = _rounded_up(peaks / _MOST).masked_fill_(peaks < _LEAST, 0.0)
    numbers = (table / scales[:, None]).masked_fill_(scales[:, None] == 0.0, 0.0)
    numbers = numbers.round_().clamp_(-_MOST, _MOST).to(torch.int8)
    return torch.cat([scales[:, None].view(torch.uint8), numbers.view(torch.uint8)], dim=1)


def decode_rows(kept: Tensor, rows: Rows, what: str) -> Tensor:
    """The rows as float32; ``CorruptVersion`` where they are not kept as ``rows`` are."""
    if kept.dtype != _DTYPES[rows] or kept.dim() != 2:
        raise CorruptVersion(
            f"{what}: item rows kept as {rows} were expected, {_DTYPES[rows]}; found "
            f"{kept.dtype} of shape {tuple(kept.shape)}; take another version"
        )
    if rows == "float32":
        return kept
    if rows == "bf16":
        return kept.to(torch.float32)
    scales = kept[:, :_SCALE_BYTES].contiguous().view(torch.float32)
    return kept[:, _SCALE_BYTES:].view(torch.int8) * scales


def decode_change(change: RowChange, rows: Rows, what: str) -> RowChange:
    """The same for changed rows; bfloat16 comes as 16-bit integers, which numpy can hold."""
    if rows == "float32":
        return change
    data = torch.from_numpy(change.data)
    if change.data.dtype == np.uint16:
        data = data.view(torch.bfloat16)
    decoded = decode_rows(data, rows, what).numpy()
    return RowChange((change.shape[0], *decoded.shape[1:]), change.rows, decoded)


def _rounded_up(scales: Tensor) -> Tensor:
    bits = scales.view(torch.int32)
    return ((bits + _UNUSED_BITS) & ~_UNUSED_BITS).view(torch.float32)

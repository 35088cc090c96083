"""Tables that grow with the vocabulary, and tensors as bytes.

A new row's content follows from the seed and the row's number alone: however a vocabulary came to
its size, in one step or in many, its untrained rows are the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import TableBytes, TensorPlace, tensor_places
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.batches import derive_seed
from everfresh.model.network.hstu import HSTU
from everfresh.model.row_changes import RowChange
from everfresh.model.touched_rows import Ints, table_bytes

SPREAD = 0.02
"""Deviation of an untrained row's numbers."""
_KINDS = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}
_KINDS |= {"BF16": torch.bfloat16, "I32": torch.int32}


def parse_settings(settings: Mapping[str, Any]) -> ModelSettings:
    """Those of a version; ``CorruptVersion`` where they are of another release."""
    try:
        return ModelSettings(**settings)
    except ValidationError as error:
        raise CorruptVersion(
            f"model settings of this release were expected, found others ({error}); "
            "use the release that wrote the version"
        ) from None


def grow_rows(weight: nn.Parameter, rows: int) -> None:
    """Lengthen the first dimension to ``rows`` with zeros, in place: the parameter stays itself."""
    if rows > weight.shape[0]:
        weight.grad = None
        weight.data = lengthen(weight.data, rows)


def lengthen(tensor: Tensor, rows: int) -> Tensor:
    """The tensor with zeros up to ``rows``: in its own memory where that has room, else in more.

    What is there beyond is written to, so nobody else may use that memory. On other devices than
    the CPU it is a copy.
    """
    had, width = tensor.shape[0], math.prod(tensor.shape[1:])
    if rows <= had:
        return tensor
    if tensor.device.type != "cpu":
        return torch.cat([tensor, tensor.new_zeros(rows - had, *tensor.shape[1:])])
    storage = tensor.untyped_storage()
    if storage.nbytes() < rows * width * tensor.element_size():
        wider = tensor.new_empty(rows + rows // 16 + 64, *tensor.shape[1:])
        wider[:had] = tensor
        storage = wider.untyped_storage()
    longer = torch.empty(0, dtype=tensor.dtype)
    longer.set_(storage, 0, (rows, *tensor.shape[1:]), tensor.stride())
    longer[had:] = 0.0
    return longer


def overwrite(weight: Tensor, change: RowChange, what: str) -> None:
    """Rows of the next version in place; ``CorruptVersion`` where they are no such rows."""
    data = torch.from_numpy(change.data)
    alike = change.shape[1:] == weight.shape[1:] and data.dtype == weight.dtype
    if not alike or (weight.dim() and change.shape[0] < weight.shape[0]):
        raise CorruptVersion(
            f"{what}: expected rows of {tuple(weight.shape)} {weight.dtype}, found some of "
            f"{change.shape} {data.dtype}; take another version"
        )
    # numpy's costs a fifth of torch's for a tensor as small as most are.
    if not np.isfinite(change.data).all():
        raise CorruptVersion(f"{what}: weights that are not finite; publish another version")
    if weight.dim():
        change.require_brought(weight.shape[0])
        weight.data = lengthen(weight.data, change.shape[0])
    if change.rows is None:
        weight.data.copy_(data)
    else:
        weight.data.index_copy_(0, torch.from_numpy(change.rows), data)


def all_finite(weights: Iterable[Tensor]) -> bool:
    """Whether all numbers are finite: one of a tensor's extremes is not, if any is."""
    edges = [torch.stack(torch.aminmax(weight.detach())) for weight in weights]
    return bool(torch.isfinite(torch.stack(edges)).all())


def fill_rows(table: Tensor, rows: Iterable[int], seed: int) -> None:
    """Normal rows of deviation 0.02 in these rows, each from ``seed`` and its number."""
    generator, wanted = torch.Generator(), list(rows)
    # Drawn on the CPU, so that they are the same on every device.
    drawn = torch.empty(len(wanted), *table.shape[1:])
    for place, row in enumerate(wanted):
        generator.manual_seed(derive_seed(seed, row))
        drawn[place].normal_(0.0, SPREAD, generator=generator)
    if wanted:
        table[wanted] = drawn.to(table.device)


def tensor_table(tensor: Tensor, touched: Ints | None = None) -> TableBytes:
    """A tensor as a version keeps it: where it is, if that is this machine's memory."""
    kept = tensor.detach().cpu().contiguous()
    if kept.dtype == torch.bfloat16:  # numpy has none
        table = table_bytes(kept.view(torch.uint8).numpy(), touched)
        return TableBytes("BF16", tuple(tensor.shape), table.data, table.touched)
    return table_bytes(kept.numpy(), touched)


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """safetensors; equal tensors give equal bytes, whatever device they are on."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def decode_tensors(raw: bytes, what: str) -> dict[str, Tensor]:
    """The inverse of :func:`encode_tensors`; ``CorruptVersion`` on foreign bytes."""
    try:
        return load(raw)
    except SafetensorError as error:
        raise CorruptVersion(
            f"{what}: safetensors were expected, found other bytes ({error}); take another version"
        ) from None


def view_tensors(raw: bytes | memoryview, what: str) -> dict[str, Tensor]:
    """As :func:`decode_tensors`, but views of ``raw``, which others may share: never written to."""
    try:
        return {name: _viewed(raw, place) for name, place in tensor_places(raw).items()}
    except (ValueError, KeyError, RuntimeError) as error:
        raise CorruptVersion(
            f"{what}: safetensors were expected, found other bytes ({error}); take another version"
        ) from None


def _viewed(raw: bytes | memoryview, place: TensorPlace) -> Tensor:
    kind, count = _KINDS[place.dtype], math.prod(place.shape)
    if not count:
        return torch.empty(place.shape, dtype=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it must not be written to
        flat = torch.frombuffer(raw, dtype=kind, count=count, offset=place.begin)
    return flat.view(place.shape)


def copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """Overwrite ``target``; ``CorruptVersion`` unless names, shapes and types are the same."""
    require_alike(target, source, what)
    with torch.no_grad():
        for name, tensor in source.items():
            target[name].copy_(tensor)


def require_shapes(
    tensors: Mapping[str, Tensor], settings: ModelSettings, rows: int, what: str
) -> None:
    """``CorruptVersion`` unless these are weights of such a network, with so many item rows.

    Shapes alone are compared: a manifest that asks for a large network costs nothing.
    """
    # Settings with more blocks than there are tensors would take long even to list.
    few = ModelSettings(**{**settings.model_dump(), "blocks": min(settings.blocks, len(tensors))})
    try:
        with torch.device("meta"):
            expected: dict[str, Tensor] = HSTU(few).state_dict()
            for name in ("items", "item_bias"):
                expected[name] = torch.empty(rows, *expected[name].shape[1:])
    except RuntimeError as error:  # more bytes than can be counted
        raise CorruptVersion(f"{what}: no network has such settings ({error})") from None
    require_alike(expected, tensors, what)
    if few.blocks != settings.blocks:
        raise CorruptVersion(f"{what}: expected {settings.blocks:,} blocks, found {few.blocks:,}")


def require_alike(target: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """``CorruptVersion`` unless names, shapes and types are the same."""
    mine = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in target.items()}
    theirs = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in source.items()}
    if mine != theirs:
        odd = sorted(
            name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
        )
        raise CorruptVersion(
            f"{what}: tensors do not fit the settings and vocabulary beside them; first misfit "
            f"{odd[0]}: expected {mine.get(odd[0])}, found {theirs.get(odd[0])}"
        )

"""Tables that grow with the vocabulary, and tensors as bytes.

A new row's content follows from the seed and the row's number alone: however a vocabulary came to
its size, in one step or in many, its untrained rows are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from contracts.errors import CorruptVersion
from model.batches import derive_seed

_SPREAD = 0.02


def grow_rows(weight: nn.Parameter, rows: int) -> None:
    """Lengthen the first dimension to ``rows`` with zeros, in place: the parameter stays itself."""
    missing = rows - weight.shape[0]
    if missing > 0:
        weight.grad = None
        weight.data = torch.cat([weight.data, weight.data.new_zeros(missing, *weight.shape[1:])])


def fill_rows(table: Tensor, rows: Iterable[int], seed: int) -> None:
    """Normal rows of deviation 0.02 in these rows, each from ``seed`` and its number."""
    generator = torch.Generator()
    for row in rows:
        generator.manual_seed(derive_seed(seed, row))
        table[row].normal_(0.0, _SPREAD, generator=generator)


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """safetensors; equal tensors give equal bytes."""
    return save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})


def decode_tensors(raw: bytes, what: str) -> dict[str, Tensor]:
    """The inverse of :func:`encode_tensors`; ``CorruptVersion`` on foreign bytes."""
    try:
        return load(raw)
    except SafetensorError as error:
        raise CorruptVersion(
            f"{what}: safetensors were expected, found other bytes ({error}); take another version"
        ) from None


def copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """Overwrite ``target``; ``CorruptVersion`` unless names, shapes and types are the same."""
    mine = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in target.items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in source.items()}
    if mine != found:
        odd = sorted(
            name for name in mine.keys() | found.keys() if mine.get(name) != found.get(name)
        )
        raise CorruptVersion(
            f"{what}: tensors do not fit the settings and vocabulary beside them; first misfit "
            f"{odd[0]}: expected {mine.get(odd[0])}, found {found.get(odd[0])}"
        )
    with torch.no_grad():
        for name, tensor in source.items():
            target[name].copy_(tensor)

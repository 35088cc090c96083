"""Bytes of the tensors in a safetensors file, looked at in place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everfresh.contracts.safetensors import TensorPlace, tensor_places

Bytes = npt.NDArray[np.uint8]


def places_if_safetensors(raw: bytes) -> dict[str, TensorPlace] | None:
    """Where each tensor of a safetensors file lies; ``None`` where it is no such file."""
    try:
        return tensor_places(raw)
    except ValueError:
        return None


def view(raw: bytes, begin: int, end: int) -> Bytes:
    """Bytes ``begin`` to ``end``, without a copy."""
    return np.frombuffer(raw, np.uint8, end - begin, begin)

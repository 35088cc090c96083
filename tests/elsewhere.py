"""A device that is not the CPU, on a machine that has none: numbers are real, places are kept.

A tensor on it says that it is on ``meta``, so that nothing reads its memory by mistake, and holds
an ordinary tensor that every operation is really done with. An operation that mixes the two is
refused, but for copies and scalars, as CUDA refuses it (it lets an index of the CPU pass). So is a
generator of the CPU. Since the arithmetic is the CPU's, results are equal to the bit.

What it does not show: kernels, their rounding and order of additions, memory, streams, speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

NAME = "meta"
_COPIES = {
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten._local_scalar_dense.default,
}


_INDEXED = {Tensor.__getitem__, Tensor.__setitem__}


class Mixed(RuntimeError):
    """An operation on tensors of both devices."""


class Away(Tensor):
    """A tensor on the device; ``_held`` has its numbers."""

    _held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Away:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=NAME,
        )
        made._held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Away({self._held!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.tolist:
            return args[0]._held.tolist()
        if func in _INDEXED and isinstance(args[1], list):  # torch makes a tensor there of it
            args = (args[0], Away(torch.tensor(args[1], dtype=torch.long)), *args[2:])
        with torch._C.DisableTorchFunctionSubclass():  # or copies for the CPU would be Away
            result = func(*args, **(kwargs or {}))
        if func == Tensor.data.__set__:  # moves sizes, and leaves Python's attributes
            args[0]._held = args[1]._held
        return result

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do it with the numbers; what comes out is where it belongs."""
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    away = [value for value in tensors if isinstance(value, Away)]
    if away and func not in _COPIES:
        if any(not isinstance(value, Away) and value.dim() for value in tensors):
            raise Mixed(
                f"{func}: {[(type(value).__name__, tuple(value.shape)) for value in tensors]}"
            )
        if kwargs.get("generator") is not None:
            raise Mixed(f"{func}: a generator of the CPU")
    there = isinstance(args[0], Away) if func is torch.ops.aten.copy_.default else bool(away)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": "cpu"}
    held = tree_map(lambda value: value._held if isinstance(value, Away) else value, (args, kwargs))
    out = func(*held[0], **held[1])
    if not there:
        return out
    out = tree_map(lambda value: Away(value) if isinstance(value, Tensor) else value, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if away else out


class Elsewhere(TorchDispatchMode):
    """While it is entered the device exists."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


@contextmanager
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the device, for as long as it exists."""
    fused = import_module("torch.optim.optimizer")
    known = fused._get_fused_kernels_supported_devices()
    monkeypatch.setattr(fused, "_get_fused_kernels_supported_devices", lambda: [*known, NAME])
    # A tensor of a class of its own cannot be made in inference mode from one that was not.
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    with Elsewhere():
        yield NAME

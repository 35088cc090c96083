"""The device that trains (``trainer.device``), made ready once in each process that does.

There is no number to it: Ray shows each process the GPU that it was given and no other, and outside
of Ray ``CUDA_VISIBLE_DEVICES`` chooses. A checkpoint names no device: what one has trained goes on
on the other. To the same hashes (law 5) it goes on on its own: draws and rounding differ.
"""

from __future__ import annotations

import os

import torch

from everfresh.contracts.errors import SettingsError


def prepare_device(device: str) -> None:
    """Before the first tensor there. ``SettingsError`` where torch finds no such device."""
    if device != "cuda":
        return
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise SettingsError(
            f"trainer.device is cuda, and torch {torch.__version__} (built {built}) finds no GPU "
            "here: install the driver and a build of torch for CUDA, see that CUDA_VISIBLE_DEVICES "
            "hides none, or set trainer.device to cpu"
        )
    # Sums by atomic additions come in any order: a window trained again would get other bytes.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)

"""Vectors of items and of users that want some of them, as trained ones lie: in clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DIM, CLUSTERS = 64, 1_000

Floats = npt.NDArray[np.float32]


def clustered(size: int, users: int) -> tuple[Floats, Floats]:
    """Unit vectors ``(size, DIM)`` and ``(users, DIM)``; each user stands near an item."""
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((CLUSTERS, DIM), np.float32)
    vectors = centres[generator.integers(0, CLUSTERS, size)]
    vectors += 0.6 * generator.standard_normal((size, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors[generator.integers(0, size, users)]
    towards = near + 0.08 * generator.standard_normal((users, DIM), np.float32)
    return vectors, towards / np.linalg.norm(towards, axis=1, keepdims=True)

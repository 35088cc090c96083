"""Products of user vectors with a whole item table: for many users in one pass over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_BLOCK_BYTES = 448 << 10
"""Rows that are taken together: they stay in a processor's cache for the next user."""


def products(vectors: Vectors, users: Sequence[Vectors]) -> list[Vectors]:
    """For each user vector ``(dim,)`` a new array ``(rows,)``: its product with each row.

    The same bits for a user alone and among others. One product of two matrices would be
    slower for few users (decision 15).
    """
    made = [np.empty(len(vectors), np.float32) for _ in users]
    step = max(1, _BLOCK_BYTES // max(1, vectors[:1].nbytes))
    for begin in range(0, len(vectors), step):
        block = vectors[begin : begin + step]
        for user, product in zip(users, made, strict=True):
            np.dot(block, user, out=product[begin : begin + step])
    return made

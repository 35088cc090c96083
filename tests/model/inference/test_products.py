"""Products of users with an item table, in one pass for all of them."""

from __future__ import annotations

import numpy as np
import pytest

from everfresh.model.inference.products import products


@pytest.mark.parametrize("dim", [8, 64, 100])
@pytest.mark.parametrize("rows", [0, 1, 3, 1_792, 1_795, 5_003])
def test_a_user_has_the_same_bits_alone_and_among_others(rows: int, dim: int) -> None:
    draw = np.random.default_rng(rows + dim)
    vectors = draw.standard_normal((rows, dim)).astype(np.float32)
    users = draw.standard_normal((5, dim)).astype(np.float32)
    together = products(vectors, list(users))
    for user, product in zip(users, together, strict=True):
        (by_itself,) = products(vectors, [user.copy()])
        assert product.tobytes() == by_itself.tobytes()
        assert np.allclose(product, vectors.astype(np.float64) @ user, atol=1e-4)


def test_rows_longer_than_a_block_are_taken_one_by_one() -> None:
    vectors = np.ones((3, 200_000), np.float32)
    (product,) = products(vectors, [np.ones(200_000, np.float32)])
    assert product.tolist() == [200_000.0] * 3

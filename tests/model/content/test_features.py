"""What a record says as features: the same everywhere, bounded, and near for what is near."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from everfresh.contracts.items.record import Item
from everfresh.model.content.features import MOST, PLACES, WIDTH, features_of, matrix_of


def row(**attributes: Any) -> np.ndarray:
    return matrix_of([features_of(Item(id=1, attributes=attributes))])[0]


def test_the_same_record_has_the_same_features_on_every_machine() -> None:
    said = {"genre": ["War", "Drama"], "year": 1995, "new": True}
    made, other = (features_of(Item(id=n, attributes=said)) for n in (1, 2))
    assert made.codes.tolist() == other.codes.tolist()
    # Versions that were trained with these places must go on to mean the same.
    assert sorted(made.codes.tolist()) == EXPECTED


EXPECTED = [2, 138, 294, 401, 402, 601, 915]


def test_near_numbers_share_their_first_digits() -> None:
    near, far = row(year=1994) @ row(year=1995), row(year=1994) @ row(year=2011)
    assert near > far
    assert row(price=-3.5) @ row(price=3.5) < row(price=3.5) @ row(price=3.5)
    assert row(price=0.0).any()


def test_all_words_together_weigh_as_much_as_one_other_feature() -> None:
    words = row(text="one two three four five six seven eight")[1:]
    assert abs(np.linalg.norm(words) - 1.0) < 0.4
    assert np.linalg.norm(row(text="Heat")[1:]) > 1.0  # a name is a category, too


def test_an_item_has_at_most_so_many_features() -> None:
    long = {f"a{n}": " ".join(f"w{n}{m}" for m in range(40)) for n in range(60)}
    assert len(features_of(Item(id=1, attributes=long)).codes) <= MOST


def test_an_embedding_is_taken_as_it_is_at_one_length() -> None:
    items = [Item(id=1, embedding=[3.0, 0.0, 4.0]), Item(id=2, embedding=[0.3, 0.0, 0.4])]
    rows = matrix_of([features_of(item) for item in items], 3)
    assert rows.shape == (2, WIDTH)
    assert np.allclose(rows[0], rows[1])
    assert np.allclose(rows[0, 1 + PLACES : 4 + PLACES], [1.2, 0.0, 1.6])
    assert not matrix_of([features_of(Item(id=1, embedding=[0.0, 0.0]))], 2)[0, 1:].any()
    # One of another length says nothing here.
    assert not matrix_of([features_of(items[0])], 4)[0, 1:].any()


def test_a_long_embedding_is_folded_so_that_products_stay() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=1536)
    near, far = base + 0.5 * rng.normal(size=1536), rng.normal(size=1536)
    items = [Item(id=1, embedding=each.tolist()) for each in (base, near, far)]
    rows = matrix_of([features_of(item) for item in items], 1536)[:, 1 + PLACES :]
    cosines = rows @ rows[0] / 4.0
    assert cosines[0] > 0.999
    assert abs(cosines[1] - 1 / np.sqrt(1.25)) < 0.1
    assert abs(cosines[2]) < 0.2


def test_features_travel_between_processes() -> None:
    """Training workers get those of new items with their job."""
    made = features_of(Item(id=1, attributes={"genre": "War"}, embedding=[1.0, 2.0]))
    back = pickle.loads(pickle.dumps(made))
    assert back.codes.tolist() == made.codes.tolist()
    assert back.own.tolist() == made.own.tolist()
    assert back.length == 2

"""The map from contents to rows: what it finds, that it is exact, and how it travels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.items.record import Item
from everfresh.model.content.content_map import FEWEST, ContentMap
from everfresh.model.content.features import Features, features_of
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChange
from tests.model.streams import SMALL, stream, trained

GENRES = ["war", "drama", "comedy", "noir"]


def film(genre: str) -> Features:
    return features_of(Item(id=1, attributes={"genre": genre}))


def fitted(items: int = 80, noise: float = 0.05) -> ContentMap:
    """Rows of four kinds, each about a direction of its own."""
    rng = np.random.default_rng(3)
    kinds = np.arange(items) % 4
    rows = 3.0 * np.eye(4, 8)[kinds] + noise * rng.normal(size=(items, 8))
    counts = torch.full((items,), 20.0)
    features = [film(GENRES[kind]) for kind in kinds]
    return ContentMap.fitted(features, torch.tensor(rows, dtype=torch.float32), counts, -4.0)


def test_an_item_points_where_others_like_it_do() -> None:
    made = fitted()
    pointing = made.predicted([film(genre) for genre in GENRES])
    assert pointing.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert (np.linalg.norm(pointing, axis=1) < 1.0).all()
    unheard_of = np.linalg.norm(made.predicted([film("opera")]))
    assert unheard_of < np.linalg.norm(pointing, axis=1).min()
    assert made.offset == -4.0
    # A row begins in that direction, as short as untrained ones are.
    start = made.starts([film("war")]).numpy()
    assert np.linalg.norm(start) == pytest.approx(0.02 * np.sqrt(8))
    assert start.argmax() == 0


def test_rows_that_are_hardly_known_count_less() -> None:
    rows = torch.tensor([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30)
    counts = torch.tensor([100.0] * 30 + [0.5] * 30)
    made = ContentMap.fitted([film("war")] * 60, rows, counts, 0.0)
    assert made.predicted([film("war")])[0].argmax() == 0


def test_equal_rows_give_an_equal_map() -> None:
    for name, tensor in fitted().tensors().items():
        assert torch.equal(tensor, fitted().tensors()[name])


def test_with_few_rows_or_broken_ones_there_is_no_map() -> None:
    assert not fitted(FEWEST - 1)
    assert not fitted(noise=float("nan"))
    assert ContentMap().tensors() == {}


def test_a_version_keeps_its_map_and_the_next_one_is_taken_row_by_row() -> None:
    model = trained(stream(1))
    before = model.save()
    model.content = fitted()
    loaded = Recommender.load(SMALL.model_dump(), model.save())
    assert loaded.save() == model.save()
    assert not Recommender.load(SMALL.model_dump(), before).content
    model.content = model.content.with_offset(-2.0)
    weights = _changes({name: each.numpy() for name, each in model.tensors().items()})
    tables = model.vocabulary.tables().tensors
    kinds = {"U8": np.uint8, "I64": np.int64}
    vocabulary = _changes(
        {
            name: np.frombuffer(table.data, kinds[table.dtype]).reshape(table.shape)
            for name, table in tables.items()
        }
    )
    loaded.take(weights, vocabulary)
    assert loaded.content.offset == -2.0
    assert loaded.save() == model.save()
    # What has no map yet is loaded whole.
    with pytest.raises(CorruptVersion, match="content"):
        Recommender.load(SMALL.model_dump(), before).take(weights, vocabulary)


def _changes(arrays: dict[str, np.ndarray]) -> dict[str, RowChange]:
    return {name: RowChange(each.shape, None, each) for name, each in arrays.items()}


def test_a_map_of_another_width_is_refused() -> None:
    tensors = {**fitted().tensors(), "content.map": torch.zeros(7, 8)}
    with pytest.raises(CorruptVersion, match=r"map: expected"):
        ContentMap.of(tensors, 8, "model.safetensors")
    broken = {**fitted().tensors(), "content.offset": torch.tensor(float("nan"))}
    with pytest.raises(CorruptVersion, match="not finite"):
        ContentMap.of(broken, 8, "model.safetensors")

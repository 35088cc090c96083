"""The index of a version: when there is one, what it follows, and what is answered exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.index import inverted_lists
from everfresh.model.inference import indexing, retrieval
from everfresh.model.inference.indexing import renew_index
from everfresh.model.inference.retrieval import INDEXED_K, Query, best_items, near_rows
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import Sightings
from everfresh.model.vocabulary.vocabulary import Vocabulary

MODEL = ModelSettings(dim=8, blocks=1, heads=2, max_length=8, dropout=0.0)
ITEMS = 2_000
NOBODY = np.zeros(0, np.int64)


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small catalogue few rows are looked at."""
    for module in (inverted_lists, indexing):
        monkeypatch.setattr(module, "LOOKS", (50, 100, 200, 400))


def made() -> Recommender:
    """Items in tight clusters, so that the nearest are easily found."""
    recommender = Recommender(MODEL, Vocabulary(), 1)
    targets = [Interaction(item, "view", 0) for item in range(1, ITEMS + 1)]
    count = list(range(ITEMS))
    recommender.admit([DecodedExample(0, [], targets, count, count)])
    generator = torch.Generator().manual_seed(2)
    centres = torch.randn(100, MODEL.dim, generator=generator)
    noise = torch.randn(ITEMS + 1, MODEL.dim, generator=generator)
    recommender.network.items.data = centres[torch.arange(ITEMS + 1) % 100] + 0.1 * noise
    return recommender


def examples() -> list[DecodedExample]:
    return [
        DecodedExample(
            user, [Interaction(1 + user, "view", 0)], [Interaction(2, "view", 1)], [0], [0]
        )
        for user in range(40)
    ]


def renew(recommender: Recommender, touched: list[int] | None = None, **given: float) -> None:
    rows = None if touched is None else np.array(touched, np.int64)
    begins_at, recall = int(given.get("begins_at", 1_000)), given.get("recall", 0.9)
    renew_index(recommender, rows, examples(), begins_at, recall, 3)


def near_item(recommender: Recommender, row: int) -> Query:
    user = torch.nn.functional.normalize(recommender.network.items.detach()[row], dim=0)
    return Query(user.numpy(), np.array([row]))


def test_there_is_an_index_from_so_many_items_and_until_a_fifth_has_gone() -> None:
    recommender = made()
    renew(recommender, begins_at=ITEMS + 1)
    assert not len(recommender.index)
    renew(recommender, begins_at=ITEMS)
    assert len(recommender.index) == ITEMS + 1
    renew(recommender, [], begins_at=ITEMS + 100)
    assert len(recommender.index)
    renew(recommender, [], begins_at=2 * ITEMS)
    assert not len(recommender.index)
    renew(recommender, begins_at=0)
    assert not len(recommender.index)


def test_what_the_index_finds_are_the_best_with_their_exact_scores() -> None:
    recommender = made()
    query, barred = near_item(recommender, 7), np.array([7, 107])
    exact = best_items(recommender, query, 5, barred)
    renew(recommender)
    assert recommender.index.look in indexing.LOOKS
    near = near_rows(recommender, query, 5)
    assert near is not None
    assert len(near) < ITEMS / 2
    items, scores = best_items(recommender, query, 5, barred)
    assert items == exact[0]
    assert scores == pytest.approx(exact[1], abs=1e-5)


def test_where_all_that_is_near_is_barred_the_others_are_found() -> None:
    recommender = made()
    renew(recommender)
    query = near_item(recommender, 7)
    near = near_rows(recommender, query, 5)
    assert near is not None
    barred = np.sort(near)[3:]
    items, _ = best_items(recommender, query, 5, barred)
    assert len(items) == 5
    recommender.index.judge(recommender.index.recalls.copy(), 0)
    assert items == best_items(recommender, query, 5, barred)[0]


def test_what_followed_the_last_item_is_looked_at_wherever_it_lies() -> None:
    recommender = made()
    none = np.zeros(2, np.int64)
    recommender.learn_trends(Sightings.of(np.array([50, 50]), np.array([7, 7]), none, none))
    weights = recommender.trends.weights.copy()
    weights[:, -2:] = 100.0
    recommender.weigh_trends(weights)
    renew(recommender)
    assert recommender.index.look
    assert 50 not in recommender.index.near(near_item(recommender, 7).user, 400)
    assert best_items(recommender, near_item(recommender, 7), 3, NOBODY)[0][0] == 50


def test_an_index_that_finds_too_little_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = made()
    monkeypatch.setattr(indexing, "rows_near", lambda *_: np.array([1]))
    renew(recommender)
    assert len(recommender.index)
    assert (recommender.index.look, near_rows(recommender, near_item(recommender, 7), 5)) == (
        0,
        None,
    )
    monkeypatch.undo()
    for module in (inverted_lists, indexing):
        monkeypatch.setattr(module, "LOOKS", (50, 100, 200, 400))
    for _ in range(30):  # means follow what is found now
        renew(recommender, [])
    assert recommender.index.look


def test_many_items_few_rows_and_strangers_are_asked_for_exactly() -> None:
    recommender = made()
    renew(recommender)
    query = near_item(recommender, 7)
    assert near_rows(recommender, query, INDEXED_K) is not None
    assert near_rows(recommender, query, INDEXED_K + 1) is None
    assert near_rows(recommender, query, INDEXED_K, 0.001) is None
    assert near_rows(recommender, retrieval.stranger(recommender), 5) is None


def test_lists_follow_the_rows_that_changed_and_centroids_stay() -> None:
    recommender = made()
    renew(recommender)
    centroids = recommender.index.centroids.copy()
    recommender.network.items.data[7] = recommender.network.items.data[50]
    renew(recommender, [7])
    assert (recommender.index.centroids == centroids).all()
    assert recommender.index.fitted == (ITEMS, 1)
    user = near_item(recommender, 50).user
    assert 7 in recommender.index.near(user, 1)


def test_an_index_travels_with_the_version() -> None:
    recommender = made()
    renew(recommender)
    files = recommender.save()
    loaded = Recommender.load(MODEL.model_dump(), files)
    assert loaded.save() == files
    assert loaded.index.look == recommender.index.look
    query = near_item(recommender, 7)
    assert best_items(loaded, query, 5, NOBODY) == best_items(recommender, query, 5, NOBODY)

"""Items from a user vector: the best, given ones, nearest ones; rows without an item are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.catalogue import best_rows
from everfresh.model.inference import retrieval
from everfresh.model.inference.retrieval import (
    Query,
    best_items,
    first_places,
    rows_of,
    score_items,
    similar_items,
    stranger,
)
from everfresh.model.ranking import Scorer
from everfresh.model.recommender import Recommender
from everfresh.model.trends.contexts import PAUSE_S, Contexts, Sightings
from everfresh.model.vocabulary.vocabulary import Vocabulary

MODEL = ModelSettings(dim=8, blocks=1, heads=2, max_length=8, dropout=0.0)
NOW = 1_000_000
NONE = np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def made() -> Recommender:
    """Items 1 to 12, of which 4 and 9 have expired; item 1 is the most popular."""
    recommender = Recommender(MODEL, Vocabulary(), 3)
    for label, items in ((0, [4, 9]), (5, [n for n in range(1, 13) for _ in range(13 - n)])):
        targets = [
            Interaction(item, "view", 0) for item in items if label == 0 or item not in (4, 9)
        ]
        count = list(range(len(targets)))
        recommender.admit([DecodedExample(0, [], targets, count, count)], label)
    assert len(recommender.expire(3)) == 2
    rows = rows_of([1, 2, 3, 2, 5, 2, 3], recommender.vocabulary)
    before, times = np.append(0, rows[:-1]), np.full(len(rows), NOW)
    recommender.learn_trends(Sightings.of(rows, before, times, times * before.clip(0, 1)))
    weights = np.random.default_rng(1).normal(0.3, 0.2, recommender.trends.weights.shape)
    recommender.weigh_trends(np.abs(weights).astype(np.float32))
    return recommender


def asked(made: Recommender, items: list[int] | None = None, at: int = NOW) -> Query:
    user = torch.nn.functional.normalize(torch.arange(MODEL.dim, dtype=torch.float32), dim=0)
    return Query(user.numpy(), rows_of([7, 2] if items is None else items, made.vocabulary), at)


@pytest.mark.parametrize("at", [NOW, NOW - PAUSE_S])
@pytest.mark.parametrize("history", [[], [2], [7, 2], [2, 4], [2] * 30])
def test_the_best_items_are_those_of_the_whole_catalogue(
    made: Recommender, history: list[int], at: int
) -> None:
    barred = rows_of([2, 3], made.vocabulary)
    query = asked(made, history, at)
    items, scores = best_items(made, query, 5, barred)
    scorer = Scorer(made.network, made.catalogue(), made.trend_table())
    had = np.append(query.rows, 0)
    context = Contexts.before(had, np.full(len(had), at), len(query.rows))
    whole = scorer.scores(torch.from_numpy(query.user)[None], context)[0]
    rows, wanted = best_rows(whole, 5, barred.tolist())
    assert items == [made.vocabulary.item(row) for row in rows]
    assert scores == pytest.approx(wanted, abs=1e-5)
    everything, _ = best_items(made, query, 100, NONE)
    assert sorted(map(int, everything)) == [1, 2, 3, 5, 6, 7, 8, 10, 11, 12]


def test_what_followed_the_last_item_moves_up(made: Recommender) -> None:
    after = score_items(made, asked(made, [7, 2]), [3, 6])
    apart = score_items(made, asked(made, [7, 8]), [3, 6])
    assert after[0] > apart[0], "3 has followed 2 twice, and not 8"
    assert after[1] == apart[1]


def test_a_stranger_is_asked_for_as_at_a_first_event(made: Recommender) -> None:
    items, scores = best_items(made, stranger(made), 4, NONE)
    assert (items, pytest.approx(scores, abs=1e-5)) == made.recommend([], 4)


@pytest.mark.parametrize("at_once", [1, 3, 12, retrieval.MICRO_BATCH])
def test_given_items_score_as_in_the_whole_catalogue_however_many_at_once(
    made: Recommender, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retrieval, "MICRO_BATCH", at_once)
    items, scores = best_items(made, asked(made), 100, NONE)
    assert len(set(scores)) == len(items) == 10
    scored = score_items(made, asked(made), [*items, 4, "?", items[2]])
    assert scored[:-3] == pytest.approx(scores, abs=1e-5)
    assert scored[-3:] == [None, None, scored[2]]


def test_expired_items_are_nobodys_neighbours(made: Recommender) -> None:
    similar = similar_items(made, 1, 100)
    assert similar is not None
    assert sorted(map(int, similar[0])) == [2, 3, 5, 6, 7, 8, 10, 11, 12]
    assert similar_items(made, 4, 3) is None


@pytest.mark.parametrize("number", [1, 7, 400, 5_000, 20_011])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_the_first_places_are_exact_whatever_is_barred(number: int, k: int) -> None:
    random = np.random.default_rng(number + k)
    for barred in (0.0, 0.5, 0.999, 1.0):
        scores = random.integers(0, 1_000, number).astype(np.float32)
        scores[random.random(number) < barred] = -np.inf
        places = first_places(scores, k)
        free = scores[scores > -np.inf]
        assert len(set(places.tolist())) == len(places) == min(k, len(free))
        assert scores[places].tolist() == sorted(free.tolist(), reverse=True)[:k]

"""The recommender: its loss, its answers, and that saving and loading lose nothing."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import MODEL_FILES
from everfresh.model.metrics import MISS
from everfresh.model.network.batches import derive_seed, make_batches
from everfresh.model.optimizer import build_optimizer, grow_optimizer, step
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.model.weights import all_finite
from tests.model.streams import (
    SMALL,
    example,
    interactions,
    recommender,
    scores_of,
    stream,
    trained,
)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_ranks_equal_those_of_sorting_all_items(exclude_seen: bool) -> None:
    examples = stream(5, items=40, longest=11)
    model = trained(examples[:3])
    ranks = model.ranks(examples, exclude_seen)
    at = 0
    for window in examples:
        events = [*window.context, *window.targets]
        for place in range(len(window.context), len(events)):
            history = events[max(0, place - SMALL.max_length + 1) : place]
            if len(events) > SMALL.max_length:
                at += 1
                continue
            seen = {e.item for e in events[:place]} if exclude_seen else set()
            item = events[place].item
            scores = scores_of(model, history)
            rivals = [r for r in range(1, len(scores)) if model.vocabulary.item(r) not in seen]
            row = model.vocabulary.row(item)
            expected = MISS
            if row and item not in seen:
                expected = sum(bool(scores[rival] >= scores[row]) for rival in rivals)
            assert ranks[at] == expected
            at += 1
    assert at == len(ranks)


def test_ranks_of_long_examples_cover_every_target_in_order() -> None:
    examples = stream(5)
    model = trained(examples)
    together = model.ranks(examples, True)
    assert len(together) == sum(len(e.targets) for e in examples)
    apart = np.concatenate([model.ranks([e], True) for e in examples])
    assert np.mean(together == apart) > 0.99  # sums of other batch shapes may differ in a last bit


def test_a_model_that_tells_nothing_apart_ranks_every_target_last() -> None:
    examples = stream(5)
    model = recommender(examples)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert set(model.ranks(examples, False).tolist()) == {len(model.vocabulary)}


def test_a_model_with_broken_weights_is_not_finite_and_ranks_nothing_well() -> None:
    examples = stream(5)
    model = recommender(examples)
    assert all_finite(model.parameters())
    with torch.no_grad():
        model.network.start.fill_(torch.nan)
    assert not all_finite(model.parameters())
    assert set(model.ranks(examples, False).tolist()) == {len(model.vocabulary)}


def test_no_targets_give_no_ranks() -> None:
    model = recommender(stream(5))
    assert model.ranks([], True).tolist() == []
    assert model.ranks([example(1, [1, 2], [])], True).tolist() == []


def test_recommendations_are_the_best_items_in_order_without_the_excluded() -> None:
    model = trained(stream(5))
    history = interactions([3, 1, 4, 1, 5])
    items, scores = model.recommend(history, 7)
    assert scores == sorted(scores, reverse=True)
    assert len(set(items)) == len(items) == 7
    fewer, _ = model.recommend(history, 7, exclude={items[0], items[3], "no such item"})
    wider, _ = model.recommend(history, 9)
    assert fewer == [item for item in wider if item not in (items[0], items[3])]


def test_asking_for_more_than_the_catalogue_gives_the_catalogue() -> None:
    model = trained(stream(5))
    everything, _ = model.recommend([], 10_000)
    assert len(everything) == len(model.vocabulary)
    rest, _ = model.recommend([], 10_000, exclude=everything[:2])
    assert set(rest) == set(everything[2:])


def test_a_history_of_unknown_items_and_actions_is_answered() -> None:
    model = trained(stream(5))
    strange = [interactions(["x"])[0].__class__("never seen", "dance", 0, 1e30)]
    items, _ = model.recommend(strange, 3)
    assert len(items) == 3


def test_only_the_last_max_length_events_matter() -> None:
    model = trained(stream(5))
    history = interactions([1 + n % 20 for n in range(40)])
    assert model.recommend(history, 5) == model.recommend(history[-(SMALL.max_length - 1) :], 5)


def test_an_empty_vocabulary_recommends_nothing() -> None:
    assert Recommender(SMALL, Vocabulary(), 3).recommend([], 5) == ([], [])


def test_a_loaded_model_answers_and_grows_like_the_saved_one() -> None:
    examples = stream(5)
    model = trained(examples)
    files = model.save()
    assert set(files) == set(MODEL_FILES)
    again = Recommender.load(SMALL.model_dump(mode="json"), files)
    assert again.save() == files
    history = interactions([3, 1, 4])
    assert again.recommend(history, 20) == model.recommend(history, 20)
    assert np.array_equal(again.ranks(examples, True), model.ranks(examples, True))
    for copy in (model, again):
        copy.admit([example(9, [], ["later"])])
    assert again.save() == model.save()


def test_files_that_do_not_belong_together_are_refused() -> None:
    files = trained(stream(5)).save()
    weights, words = MODEL_FILES
    others = recommender([example(1, [], [1])]).save()
    for wrong in (
        {**files, words: others[words]},
        {**files, weights: b"no tensors"},
        {**files, words: b"no words"},
    ):
        with pytest.raises(CorruptVersion):
            Recommender.load(SMALL.model_dump(), wrong)
    for settings in ({**SMALL.model_dump(), "dim": 16}, {**SMALL.model_dump(), "colour": 1}):
        with pytest.raises(CorruptVersion):
            Recommender.load(settings, files)


def test_training_twice_from_one_seed_gives_equal_bytes() -> None:
    settings = SMALL.model_copy(update={"dropout": 0.3, "negatives": 8})

    def bytes_of() -> dict[str, bytes]:
        model = Recommender(settings, Vocabulary(), 3)
        optimizer = build_optimizer(model, 1e-2)
        for window in (1, 2):
            examples = stream(window, items=15 * window)
            model.admit(examples)
            grow_optimizer(optimizer)
            torch.manual_seed(derive_seed(3, window))
            for batch in make_batches(examples, model.vocabulary, settings, 60, window):
                step(model, optimizer, batch)
        return model.save()

    assert bytes_of() == bytes_of()


def test_a_repeating_pattern_is_learnt() -> None:
    examples = [example(user, [], [1 + (user + n) % 9 for n in range(12)]) for user in range(40)]
    before = recommender(examples).ranks(examples, False)
    after = trained(examples, steps=25).ranks(examples, False)
    known = np.arange(len(after)) % 12 > 0
    assert np.mean(before[known] == 1) < 0.4
    assert np.mean(after[known] == 1) > 0.95


def test_a_user_without_history_is_shown_popular_items_first() -> None:
    examples = [example(user, [], [1, 2 + user]) for user in range(20)]
    model = trained(examples, steps=5)
    assert model.recommend([], 1)[0] == [1]


def test_the_sampled_softmax_sum_is_right_on_average() -> None:
    full = trained(stream(8, items=60, longest=12))
    half = {**SMALL.model_dump(), "negatives": len(full.vocabulary) // 2}
    sampled = Recommender.load(half, full.save())
    (batch,) = make_batches([example(1, [1, 2, 3], [4])], full.vocabulary, SMALL, 99, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        draws = [torch.exp(sampled.loss(batch)) for _ in range(400)]
        expected = float(torch.exp(full.loss(batch)))
    assert float(torch.stack(draws).mean()) == pytest.approx(expected, rel=0.05)
    assert len(set(map(float, draws))) > 100


def test_many_threads_get_the_answers_that_one_gets() -> None:
    model = trained(stream(5))
    histories = [interactions([1 + (n * user) % 20 for n in range(8)]) for user in range(12)]
    expected = [model.recommend(history, 5) for history in histories]
    answers: dict[int, Any] = {}
    again = Recommender.load(SMALL.model_dump(), model.save())

    def ask(user: int) -> None:
        answers[user] = again.recommend(histories[user], 5)

    threads = [threading.Thread(target=ask, args=(user,)) for user in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[user] for user in range(12)] == expected

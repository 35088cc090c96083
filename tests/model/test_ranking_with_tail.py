"""Offline figures look at what replicas look at: each event with the tail of the blocks before."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
import torch

from everfresh.contracts.window import DecodedExample
from everfresh.model.inference.retrieval import Query, all_scores
from everfresh.model.metrics import MISS
from everfresh.model.network.batches import query_batch
from everfresh.model.recommender import NETWORK, TAIL, VERSION, Recommender
from everfresh.model.trend_learning import learn_trends, weigh_trends
from everfresh.model.trends.contexts import BACK, Sightings
from everfresh.model.trends.table import COLUMNS
from everfresh.model.trends.tail import BLOCK
from tests.model.streams import SMALL, example, stream, trained


def in_log(examples: list[DecodedExample], seed: int) -> list[DecodedExample]:
    """The same with append times that mix the users' events, each user's own in order."""
    rng = random.Random(seed)
    owners = [at for at, each in enumerate(examples) for _ in each.targets]
    rng.shuffle(owners)
    times: list[list[int]] = [[] for _ in examples]
    for place, owner in enumerate(owners):
        times[owner].append(1_000 + place)
    return [
        msgspec.structs.replace(each, appended=own, offsets=own)
        for each, own in zip(examples, times, strict=True)
    ]


def later(example: DecodedExample) -> DecodedExample:
    """All but every third user's targets an hour after what they had before."""
    if example.user in range(0, 60, 3):
        return example
    moved = [msgspec.structs.replace(each, time=each.time + 3_600_000) for each in example.targets]
    return msgspec.structs.replace(example, targets=moved)


def with_trends(seed: int) -> Recommender:
    model = trained(stream(seed, longest=10))
    learn_trends(model, stream(seed, longest=10))
    drawn = np.random.default_rng(seed).random(model.trends.weights.shape)
    model.weigh_trends(model.trends.weights + (0.6 * drawn).astype(np.float32))
    return model


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_a_window_is_ranked_as_replicas_would_answer(exclude_seen: bool) -> None:
    """Law 4, and live and offline by the same numbers: the hand-made answer is the replica's."""
    model = with_trends(3)
    examples = in_log(stream(8, users=60, items=34, longest=SMALL.max_length // 2), 1)
    examples = [*map(later, examples)]
    assert sum(len(each.targets) for each in examples) > 1.5 * BLOCK
    ways = [TAIL, VERSION, NETWORK, 4_096]
    kept_up, own, network, counts = model.ranks_by(ways, examples, exclude_seen)
    assert np.array_equal(own, model.ranks(examples, exclude_seen))
    assert (kept_up != own).any()
    assert (own != network).any()
    events = []
    for each in examples:
        whole = [*each.context, *each.targets]
        for place in range(len(each.context), len(whole)):
            at = each.appended[place - len(each.context)]
            events.append((at, len(events), whole[:place], whole[place]))
    row = model.vocabulary.row
    tail = model.tail()
    ordered = sorted(events, key=lambda event: event[:2])
    places = set[int]()
    for begin in range(0, len(ordered), BLOCK):
        block = ordered[begin : begin + BLOCK]
        table = tail.table()
        for _, number, history, event in block:
            item, at = event.item, history[-1].time // 1000 if history else 0
            places.add(table.place_of(len(history), at))
            seen = np.array([row(each.item) for each in history], np.int64)
            batch = query_batch(history, model.vocabulary, SMALL.max_length)
            with torch.inference_mode():
                user = model.network(batch)[-1].numpy()
            pooled = np.asarray(all_scores(model, Query(user, seen, at, table)))
            for scores, ranks in ((pooled, kept_up), (table.features[:, 0].copy(), counts)):
                scores[0] = -np.inf
                if exclude_seen:
                    scores[seen] = -np.inf
                if row(item) and np.isfinite(scores[row(item)]):
                    # Sums of other batch shapes may differ in a last bit.
                    least = (scores > scores[row(item)] + 1e-4).sum() + 1
                    most = (scores >= scores[row(item)] - 1e-4).sum()
                    assert least <= ranks[number] <= most
                else:
                    assert ranks[number] == MISS
        before = [row(history[-1].item) if history else 0 for _, _, history, _ in block]
        rows = np.array([row(event.item) for _, _, _, event in block], np.int64)
        times = np.array([event.time // 1000 for _, _, _, event in block], np.int64)
        at = [history[-1].time // 1000 if history else 0 for _, _, history, _ in block]
        tail.learn(Sightings.of(rows, np.array(before, np.int64), times, np.array(at, np.int64)))
    assert places >= {0, 3, BACK}


def test_weights_are_learnt_from_what_the_tail_said() -> None:
    """An item that is hot in this window alone is foreseen by a tail, and by no version."""
    fitted = []
    for tail in (False, True):
        model = trained([example(1, [], list(range(1, 31)))])
        learn_trends(model, [example(1, [], list(range(1, 31)))])
        hot = [example(user, [], [7]) for user in range(400)]
        weigh_trends(model, in_log(hot, 2), 5, tail=tail)
        fitted.append(float(model.trends.weights[0, 1 : 1 + COLUMNS].sum()))
    assert fitted[1] > fitted[0] + 0.1

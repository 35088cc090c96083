"""Items without rows among those with rows: ranks against a plain reckoning, and what is learnt."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item
from everfresh.contracts.window import DecodedExample
from everfresh.model.cold_items import ColdItems, WithCold
from everfresh.model.content.content_map import UNSEEN, ContentMap
from everfresh.model.content.features import Features, features_of
from everfresh.model.content_learning import begin_rows, learn_contents, learnt_offset
from everfresh.model.metrics import MISS
from everfresh.model.network.batches import query_batch
from everfresh.model.recommender import Recommender
from tests.model.streams import SMALL, example, stream, trained

# Each of a kind of its own: two that are alike would tie, or nearly, by how a product is summed.
COLD: list[ItemId] = ["new", "newer", "cold"]


def features(item: ItemId) -> Features:
    kind = item % 3 if isinstance(item, int) else len(item) % 3
    return features_of(Item(id=item, attributes={"kind": f"k{kind}"}))


KNOWN = {item: features(item) for item in [*COLD, *range(1, 31)]}


def with_map(offset: float = 0.0) -> Recommender:
    model = trained(stream(2))
    learn_contents(model, KNOWN.get, 5, offset)
    assert model.content
    return model


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("offset", [-30.0, 1.0, 30.0])
def test_ranks_are_those_of_sorting_rows_and_cold_items_together(
    exclude_seen: bool, offset: float
) -> None:
    model = with_map(offset)
    examples = [
        example(1, [3, "new", 5], ["newer", 7, "new", 8]),
        example(2, [], ["cold", 2, "cold"]),
        example(3, [1, 2, 3], [4, "nobody knows it", 3]),
    ]
    ranks = WithCold(model, KNOWN).ranks(examples, exclude_seen)
    expected = [rank for each in examples for rank in by_hand(model, each, exclude_seen)]
    assert ranks.tolist() == expected


def by_hand(model: Recommender, of: DecodedExample, exclude_seen: bool) -> list[int]:
    cold = ColdItems.of(model, KNOWN)
    assert list(cold.places) == COLD
    ranks, history = [], list(of.context)
    for target in of.targets:
        scores = dict(zip(*model.recommend(history, 1_000), strict=True))
        with torch.inference_mode():
            user = model.network(query_batch(history, model.vocabulary, SMALL.max_length))[-1]
        weights = np.ones(1, np.float32)
        scores |= dict(zip(COLD, cold.scores(user[None].numpy(), weights)[0].tolist(), strict=True))
        if exclude_seen:
            for seen in {event.item for event in history}:
                scores.pop(seen, None)
        own = scores.get(target.item)
        ranks.append(MISS if own is None else sum(each >= own for each in scores.values()))
        history.append(target)
    return ranks


def test_without_a_map_or_cold_items_ranks_are_those_of_the_version() -> None:
    examples = stream(4)
    plain = trained(stream(2))
    assert WithCold(plain, KNOWN).ranks(examples, True).tolist() == (
        plain.ranks(examples, True).tolist()
    )
    model = with_map()
    warm = {item: each for item, each in KNOWN.items() if item not in COLD}
    assert WithCold(model, warm).ranks(examples, True).tolist() == (
        model.ranks(examples, True).tolist()
    )


def test_a_new_row_begins_between_chance_and_its_contents_and_others_by_chance() -> None:
    model = with_map()
    model.admit([example(9, [], ["new", "nobody knows it"])])
    rows = [model.vocabulary.row(item) for item in ("new", "nobody knows it")]
    before = model.network.items.detach()[rows].clone()
    begin_rows(model, rows, {"new": KNOWN["new"]})
    after = model.network.items.detach()[rows]
    expected = (before[0] + model.content.starts([KNOWN["new"]])[0]) * 0.5**0.5
    assert torch.allclose(after[0], expected)
    assert torch.equal(after[1], before[1])


def test_the_offset_follows_how_often_cold_items_are_chosen() -> None:
    model = with_map(-5.0)
    often = [example(n, [1, 2], ["new", "newer"]) for n in range(40)]
    never = [example(n, [1, 2], [3, 4]) for n in range(40)]
    assert learnt_offset(model, often, KNOWN, 1) > -5.0 > learnt_offset(model, never, KNOWN, 1)
    assert learnt_offset(model, often, KNOWN, 1) == learnt_offset(model, often, KNOWN, 1)
    # As many are expected as are chosen, but for what the window before said.
    mixed = [example(n, [1, 2], ["new", 3]) for n in range(400)]
    for _ in range(20):
        model.content = model.content.with_offset(learnt_offset(model, mixed, KNOWN, 1))
    shares = []
    for each in mixed[:1]:
        cold = ColdItems.of(model, KNOWN)
        with torch.inference_mode():
            user = model.network(query_batch(each.context, model.vocabulary, 12))[-1]
            warm = model.catalogue().item_scores(user[None])[0]
        odds = cold.scores(user[None].numpy(), np.ones(1, np.float32))[0]
        top = max(float(warm.max()), float(odds.max()))
        cold_share, all_share = np.exp(odds - top).sum(), float(torch.exp(warm - top).sum())
        shares.append(cold_share / (cold_share + all_share))
    assert abs(float(np.mean(shares)) - 0.5) < 0.2


def test_to_refuse_a_cold_item_is_not_to_choose_it() -> None:
    model = with_map(-5.0)
    asked = [example(n, [1, 2], ["new", 3]) for n in range(40)]
    refused = [msgspec.structs.replace(each, refused=[True, False]) for each in asked]
    assert learnt_offset(model, refused, KNOWN, 1) < -5.0 < learnt_offset(model, asked, KNOWN, 1)
    # What is refused and has a row tells nothing either.
    none = [msgspec.structs.replace(each, refused=[True, True]) for each in asked]
    assert learnt_offset(model, none, KNOWN, 1) == -5.0


def test_before_there_is_a_map_nothing_is_said_of_cold_items() -> None:
    model = trained(stream(2))
    assert learnt_offset(model, stream(2), KNOWN, 1) == UNSEEN
    learn_contents(model, {1: KNOWN[1]}.get, 5, UNSEEN)
    assert not model.content
    assert ColdItems.of(model, KNOWN).places == {}


def test_equal_rows_and_seeds_learn_an_equal_map() -> None:
    maps = [with_map().content.tensors() for _ in range(2)]
    assert all(torch.equal(maps[0][name], maps[1][name]) for name in maps[0])
    assert ContentMap.of(maps[0], SMALL.dim, "").tensors().keys() == maps[0].keys()

"""Answers that obey rules: k items whenever k exist, against a plain reckoning over all items."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Boost, Cap, Filter, Pin, Rules
from everfresh.model.index import inverted_lists
from everfresh.model.inference import indexing
from everfresh.model.inference.indexing import renew_index
from everfresh.model.inference.retrieval import (
    Query,
    Scores,
    best_items,
    first_places,
    score_items,
    scores_of,
)
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.serving.items import answer_rows, choice, ruled
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.ruled import Ruled, Wanted, ruled_items
from tests.serving.items.shop import catalogue_of, change, removal
from tests.serving.replica_in_memory import ITEMS, recommender

MADE = recommender(4)
QUERY = Query(torch.nn.functional.normalize(torch.arange(8.0) - 3, dim=0).numpy(), np.array([2, 9]))
SCORES = dict(zip(ITEMS, score_items(MADE, QUERY, ITEMS), strict=True))
BEST = sorted(ITEMS, key=lambda item: -(SCORES[item] or 0.0))
BRANDS = {item: "xyz"[at % 3] for at, item in enumerate(ITEMS)}
NOBODY = np.zeros(0, np.int64)


def shop(**settings: Any) -> Catalogue:
    records = [
        change(item, brand=brand, rank=at) for at, (item, brand) in enumerate(BRANDS.items())
    ]
    made = catalogue_of(*records, **settings)
    made.prepare(MADE)
    return made


def asked(
    catalogue: Catalogue,
    k: int = 5,
    barred: list[ItemId] | None = None,
    allow: list[ItemId] | None = None,
    now: int = 1,
    **rules: Any,
) -> Ruled:
    rows = np.array([MADE.vocabulary.row(item) for item in barred or []], np.int64)
    wanted = Wanted(k, rows, allow, Rules(**rules) if rules else None)
    return ruled_items(catalogue, MADE, QUERY, wanted, now)


def equals(attribute: str, value: Any) -> Filter:
    return Filter(attribute=attribute, equals=value)


def test_without_rules_it_is_the_best_of_what_may_be_shown() -> None:
    catalogue = shop()
    plain = best_items(MADE, QUERY, 7, NOBODY)
    answer = asked(catalogue, 7)
    assert (answer.items, answer.scores) == plain
    assert (answer.pinned, answer.shortfall, answer.offset) == ([], None, len(ITEMS) - 1)
    catalogue.apply([removal(BEST[0]), change(BEST[2], available=False)], len(ITEMS) + 2)
    answer = asked(catalogue, 7)
    assert answer.items == [BEST[1], *BEST[3:9]]
    assert answer.offset == len(ITEMS) + 1


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("brand", ["x", "y", "z"])
def test_filters_apply_before_the_best_k(brand: str, k: int) -> None:
    """However low they rank, k come back where k exist: also where few are left, and most are."""
    of_brand = [item for item in BEST if BRANDS[item] == brand]
    assert asked(shop(), k, filter=equals("brand", brand)).items == of_brand[:k]
    others = [item for item in BEST if BRANDS[item] != brand]
    assert asked(shop(), k, filter=Filter(none=(equals("brand", brand),))).items == others[:k]
    seldom = Filter(attribute="rank", any_of=tuple(range(3)))
    worst = [item for item in BEST if item in ITEMS[:3]]
    assert asked(shop(), k, filter=seldom).items == worst[:k]


def test_filters_exclusions_and_allowed_items_hold_together() -> None:
    brand = equals("brand", "x")
    of_x = [item for item in BEST if BRANDS[item] == "x"]
    answer = asked(shop(), 3, barred=of_x[:2], filter=brand)
    assert answer.items == of_x[2:5]
    answer = asked(shop(), 5, barred=of_x[:1], allow=[*of_x[:4], *BEST[:4], "nobody"], filter=brand)
    assert answer.items == of_x[1:4]


def test_a_boost_adds_to_the_score_of_what_fits() -> None:
    boost = Boost(equals("brand", "y"), 100.0)
    answer = asked(shop(), 12, boosts=(boost,))
    of_y = [item for item in BEST if BRANDS[item] == "y"]
    assert answer.items == [*of_y, *[item for item in BEST if BRANDS[item] != "y"]][:12]
    assert answer.scores[0] == pytest.approx((SCORES[of_y[0]] or 0.0) + 100.0, abs=1e-3)
    few = asked(shop(), 2, boosts=(boost,), filter=Filter(attribute="rank", at_most=2))
    assert BRANDS[few.items[0]] == "y"


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("k", [3, 10, 31])
def test_at_most_n_of_each_value_and_what_comes_next_makes_up_for_it(n: int, k: int) -> None:
    count, expected = dict.fromkeys("xyz", 0), list[ItemId]()
    for item in BEST:
        if len(expected) < k and count[BRANDS[item]] < n:
            count[BRANDS[item]] += 1
            expected.append(item)
    answer = asked(shop(), k, at_most=(Cap("brand", n),))
    assert answer.items == expected
    assert answer.scores == pytest.approx([SCORES[item] for item in expected], abs=1e-4)
    assert (answer.shortfall is None) == (len(expected) == k)


def test_what_has_become_full_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each pool of candidates adds an item, however many there are of a full value."""
    pools = list[int]()

    def best(scores: Scores, number: int) -> ItemRows:
        pools.append(number)
        return first_places(scores, number)

    monkeypatch.setattr(choice, "_POOL", (0, 1))
    monkeypatch.setattr(choice, "_best", best)
    same = catalogue_of(*(change(item, brand="a") for item in BEST[:28]))
    same.prepare(MADE)
    answer = asked(same, 4, at_most=(Cap("brand", 1),))
    assert answer.items == [BEST[0], *BEST[28:]]
    assert pools == [1] * 4


def test_a_cap_counts_each_value_of_a_list_and_leaves_items_without_one_free() -> None:
    catalogue = catalogue_of(*(change(item, tags=["t", f"own {item}"]) for item in BEST[:6]))
    catalogue.prepare(MADE)
    answer = asked(catalogue, 4, at_most=(Cap("tags", 2),))
    assert answer.items == [*BEST[:2], *BEST[6:8]]
    assert asked(catalogue, 4, at_most=(Cap("unheard", 1),)).items == BEST[:4]


def test_mmr_is_the_greedy_choice_by_score_and_unlikeness() -> None:
    weight, k = 0.6, 6
    vectors = MADE.catalogue().vectors.numpy()
    unit = {i: vectors[MADE.vocabulary.row(i)] for i in ITEMS}
    unit = {i: v / np.linalg.norm(v) for i, v in unit.items()}
    low, high = SCORES[BEST[-1]] or 0.0, SCORES[BEST[0]] or 0.0
    chosen: list[ItemId] = []
    while len(chosen) < k:
        value = {
            i: weight * ((SCORES[i] or 0.0) - low) / (high - low)
            - (1 - weight) * max((float(unit[i] @ unit[j]) for j in chosen), default=0.0)
            for i in BEST
            if i not in chosen
        }
        chosen.append(max(value, key=lambda i: value[i]))
    assert asked(shop(), k, mmr_lambda=weight).items == chosen
    assert chosen != BEST[:k]
    assert asked(shop(), k, mmr_lambda=1.0).items == BEST[:k]


def test_caps_hold_under_mmr_too() -> None:
    answer = asked(shop(), 6, mmr_lambda=0.5, at_most=(Cap("brand", 2),))
    assert sorted(BRANDS[item] for item in answer.items) == list("xxyyzz")


def test_a_pinned_item_stands_at_its_place_once() -> None:
    answer = asked(shop(), 5, pins=(Pin(BEST[2], 1), Pin(BEST[30], 4)))
    assert answer.items == [BEST[2], BEST[0], BEST[1], BEST[30], BEST[3]]
    assert answer.pinned == [0, 3]
    assert answer.scores == pytest.approx([SCORES[item] for item in answer.items], abs=1e-4)


def test_a_pin_asks_no_filter_but_what_may_not_be_shown_is_not_pinned() -> None:
    catalogue = shop()
    x, y = (next(i for i in BEST if BRANDS[i] == brand) for brand in "xy")
    answer = asked(catalogue, 2, filter=equals("brand", "x"), pins=(Pin(y, 2),))
    assert answer.items == [x, y]
    catalogue.apply([change(y, available=False)], 99)
    answer = asked(catalogue, 2, filter=equals("brand", "x"), pins=(Pin(y, 2),))
    assert (answer.items[0], y in answer.items, answer.pinned) == (x, False, [])


def test_a_pin_beyond_the_end_of_a_short_list_ends_it_and_one_beyond_k_is_left_out() -> None:
    rare = Filter(attribute="rank", at_most=0)
    answer = asked(shop(), 9, filter=rare, pins=(Pin("unseen", 8), Pin(BEST[0], 10)))
    assert answer.items == [ITEMS[0], "unseen"]
    assert answer.scores == [pytest.approx(SCORES[ITEMS[0]], abs=1e-4), None]
    assert answer.pinned == [1]


def test_pins_may_be_all_there_is() -> None:
    pins = tuple(Pin(item, at) for at, item in enumerate(BEST[5:7], 1))
    assert asked(shop(), 2, pins=pins).items == BEST[5:7]


def test_pinned_items_count_in_caps() -> None:
    x = [item for item in BEST if BRANDS[item] == "x"]
    answer = asked(shop(), 4, at_most=(Cap("brand", 1),), pins=(Pin(x[3], 1),))
    assert answer.items[0] == x[3]
    assert sorted(BRANDS[item] for item in answer.items) == ["x", "y", "z"]


def test_rules_need_no_catalogue() -> None:
    catalogue = catalogue_of()
    catalogue.prepare(MADE)
    answer = asked(catalogue, 3, pins=(Pin(BEST[9], 2),))
    assert answer.items == [BEST[0], BEST[9], BEST[1]]
    assert answer.offset is None
    nothing = asked(catalogue, 3, filter=equals("brand", "x"))
    assert nothing.items == []
    assert "no item of the catalogue has the attribute brand" in str(nothing.shortfall)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"filter": equals("brnad", "x")},
            "0 of 5 items: the version knows 31 items; the filter leaves 0; no item of the "
            "catalogue has the attribute brnad; nothing fits `filter` (brnad)",
        ),
        (
            {"filter": Filter(all=(equals("brand", "x"), equals("brand", "q")))},
            "nothing fits `filter.all[1]` (brand)",
        ),
        (
            {"filter": Filter(all=(equals("brand", "x"), equals("brand", "y")))},
            "the filter leaves 0; no item fits all of its parts together",
        ),
        (
            {"filter": Filter(attribute="rank", at_most=2), "barred": list(ITEMS[:2])},
            "1 of 5 items: the version knows 31 items; the filter leaves 3; 2 of these were seen "
            "or excluded",
        ),
        (
            {"allow": list(ITEMS[:2])},
            "2 of 5 items: the version knows 31 items; `allow` leaves 2",
        ),
        (
            {"at_most": (Cap("brand", 1),)},
            "3 of 5 items: the version knows 31 items; `at_most` leaves out the others",
        ),
    ],
)
def test_an_answer_says_what_emptied_it(more: dict[str, Any], said: str) -> None:
    assert said in str(asked(shop(), 5, **more).shortfall)


def test_an_answer_says_what_may_not_be_shown_and_what_the_version_does_not_know() -> None:
    catalogue = catalogue_of(
        change(1, brand="q"), change(2, brand="q", available=False), change("new", brand="q")
    )
    catalogue.prepare(MADE)
    said = str(asked(catalogue, 5, filter=equals("brand", "q")).shortfall)
    assert "1 of them may not be shown now; the filter leaves 1" in said
    assert "1 items of the catalogue fit that this version does not know yet" in said


def test_many_candidates_give_the_same_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring all rows, or those that are left alone, is one thing."""

    answers = []
    for few in (1, 10_000):
        monkeypatch.setattr(ruled, "_FEW", few)
        answers.append(
            asked(
                shop(),
                6,
                barred=BEST[:2],
                filter=Filter(none=(equals("brand", "y"),)),
                boosts=(Boost(equals("brand", "z"), 0.5),),
                at_most=(Cap("brand", 4),),
            )
        )
    one, other = answers
    assert one.items == other.items
    assert one.scores == pytest.approx(other.scores, abs=1e-4)
    assert isinstance(msgspec.json.encode(one), bytes)


def test_filters_hold_where_the_version_has_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brands a and b: half of the items near the user are of each; brand z is far away."""
    for module in (inverted_lists, indexing):
        monkeypatch.setattr(module, "LOOKS", (40, 80, 160, 320))
    items: list[ItemId] = list(range(1, 1_501))
    made = recommender(5, items)
    generator = torch.Generator().manual_seed(6)
    table = made.network.items.data
    table[:] = torch.nn.functional.normalize(torch.randn(table.shape, generator=generator), dim=1)
    rows = np.array([made.vocabulary.row(item) for item in items])
    user = torch.nn.functional.normalize(torch.arange(8.0) - 3, dim=0)
    likeness = (table @ user).numpy()
    far = likeness[rows] < np.quantile(likeness[rows], 0.3)
    brands = {item: "z" if far[at] else "ab"[at % 2] for at, item in enumerate(items)}
    shelf = catalogue_of(*(change(item, brand=brand) for item, brand in brands.items()))
    query = Query(user.numpy(), rows[[2]])
    wanted = [
        Wanted(5, rows[[2, 7]], None, Rules(filter=equals("brand", brand))) for brand in "abz"
    ]

    def answers() -> list[Ruled]:
        shelf.prepare(made)
        return [ruled_items(shelf, made, query, each, 1) for each in wanted]

    exact = answers()
    renew_index(made, None, [], len(items), 0.9, 1)
    made.index.judge(np.ones(4, np.float32), 160)
    asked_by = []
    monkeypatch.setattr(
        answer_rows, "scores_of", lambda *given: asked_by.append(len(given[2])) or scores_of(*given)
    )
    by_index = answers()
    assert [each.items for each in by_index] == [each.items for each in exact]
    assert [{brands[item] for item in each.items} for each in by_index] == [{"a"}, {"b"}, {"z"}]
    assert len(asked_by) == 2, "what is of brand z lies elsewhere, and all is scored"
    assert max(asked_by) < len(items) / 2

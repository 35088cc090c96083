"""Items that nobody has used yet: recommended from the moment their record is known."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import Boost, Cap, Filter, Pin, Rules
from everfresh.contracts.sequence import Interaction
from everfresh.model.cold_items import ColdItems
from everfresh.model.content.features import features_of
from everfresh.model.content_learning import learn_contents
from everfresh.model.inference.retrieval import Query, score_items
from everfresh.model.recommender import Recommender
from everfresh.serving.history import reader
from everfresh.serving.items import cold_rows, ruled
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.ruled import Ruled, Wanted, ruled_items
from everfresh.serving.recommend import RecommendRequest, ScoreRequest
from tests.serving.items.shop import catalogue_of, change, removal
from tests.serving.replica_in_memory import ITEMS, Bench, publish, recommender

NOBODY = np.zeros(0, np.int64)
QUERY = Query(torch.nn.functional.normalize(torch.arange(8.0) - 3, dim=0).numpy(), np.array([2, 9]))
KIND = {item: f"k{at % 3}" for at, item in enumerate(ITEMS)}
RECORDS = [change(item, kind=kind) for item, kind in KIND.items()]


def version(offset: float = 60.0, seed: int = 4, more: Sequence[ItemId] = ()) -> Recommender:
    """A version with a map; ``offset`` puts cold items before others, or behind them."""
    made = recommender(seed, [*ITEMS, *more])
    known = {each.id: features_of(each.item) for each in RECORDS if each.item is not None}
    learn_contents(made, known.get, 7, offset)
    assert made.content
    return made


MADE = version()


def shop(*more: Any, made: Recommender = MADE, **settings: Any) -> Catalogue:
    catalogue = catalogue_of(*RECORDS, **settings)
    catalogue.prepare(made)
    catalogue.apply(more, len(RECORDS) + len(more), gently=True)
    return catalogue


def asked(
    catalogue: Catalogue,
    k: int = 5,
    allow: list[ItemId] | None = None,
    barred: Sequence[ItemId] = (),
    now: int = 1,
    made: Recommender = MADE,
    **rules: Any,
) -> Ruled:
    wanted = Wanted(k, NOBODY, allow, Rules(**rules) if rules else None, (), lambda: barred)
    return ruled_items(catalogue, made, QUERY, wanted, now)


def test_an_item_is_recommended_from_the_moment_its_record_is_known() -> None:
    catalogue = shop()
    assert "new" not in asked(catalogue, 40).items
    catalogue.apply([change("new", kind="k1")], 40, gently=True)
    answer = asked(catalogue, 40)
    assert answer.items[0] == "new"
    assert len(answer.items) == len(ITEMS) + 1
    assert answer.offset == 39
    # The score that the trainer ranks it by.
    known = {"new": features_of(change("new", kind="k1").item)}  # type: ignore[arg-type]
    cold = ColdItems.of(MADE, known)
    weights = MADE.trend_table().weights[[2]][:, 0]
    assert answer.scores[0] == pytest.approx(
        float(cold.scores(QUERY.user[None], weights)[0, 0]), abs=1e-5
    )


def test_those_with_rows_score_as_before_and_all_stand_in_one_order() -> None:
    made = version(-0.5)
    news = [change(f"n{at}", kind=f"k{at % 3}") for at in range(9)]
    answer = asked(shop(*news, made=made), 100, made=made)
    assert answer.scores == sorted(answer.scores, key=lambda score: -(score or 0.0))
    own = dict(zip(answer.items, answer.scores, strict=True))
    assert [own[item] for item in ITEMS] == pytest.approx(score_items(made, QUERY, ITEMS))
    assert len(own) == len(ITEMS) + 9


def test_they_stand_beside_what_an_index_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    near = np.array([MADE.vocabulary.row(item) for item in ITEMS[:4]])
    monkeypatch.setattr(ruled, "near_rows", lambda *given: near)
    catalogue = shop(change("new", kind="k1"), change("gone", kind="k1", available=False))
    answer = asked(catalogue, 40, barred=[ITEMS[0]])
    assert answer.items[0] == "new"
    assert set(answer.items[1:]) == set(ITEMS[1:4])


def test_a_record_that_was_there_first_counts_when_the_version_comes() -> None:
    catalogue = catalogue_of(*RECORDS, change("new", kind="k1"))
    catalogue.prepare(MADE)
    assert asked(catalogue, 1).items == ["new"]
    assert catalogue.cold_items == 1


def test_what_may_not_be_shown_is_not() -> None:
    catalogue = shop(
        change("gone", kind="k1"),
        change("sold", kind="k1", available=False),
        change("soon", kind="k1", published=100),
        change("late", kind="k1", expires=100),
    )
    assert set(asked(catalogue, 3).items[:2]) == {"gone", "late"}
    catalogue.apply([removal("gone")], 50, gently=True)
    assert asked(catalogue, 1).items == ["late"]
    assert asked(catalogue, 1, now=100).items == ["soon"]
    catalogue.apply([change("sold", kind="k1")], 51, gently=True)
    assert set(asked(catalogue, 2, now=100).items) == {"soon", "sold"}


def test_filters_boosts_caps_and_diversity_hold_for_it() -> None:
    news = [change(f"n{at}", kind=f"k{at % 3}", year=2000 + at) for at in range(6)]
    catalogue = shop(*news)
    late = Filter(attribute="year", at_least=2003.0)
    assert set(asked(catalogue, 10, filter=late).items) == {"n3", "n4", "n5"}
    kind = Filter(attribute="kind", equals="k2")
    fits = asked(catalogue, 40, filter=kind).items
    assert {"n2", "n5"} < set(fits)
    assert all(KIND.get(item, "k2") == "k2" or item in ("n2", "n5") for item in fits)
    first = Filter(attribute="year", equals=2001)
    assert asked(catalogue, 1, boosts=(Boost(first, 50.0),)).items == ["n1"]
    capped = asked(catalogue, 6, at_most=(Cap("kind", 1),)).items
    assert len(capped) == 3
    assert set(capped) <= {item.id for item in news}
    diverse = asked(catalogue, 6, mmr_lambda=0.5).items
    assert len(set(diverse)) == 6


def test_allow_pins_and_what_was_seen_name_it_too() -> None:
    catalogue = shop(change("new", kind="k1"), change("newer", kind="k2"))
    assert asked(catalogue, 5, allow=["newer", 3, "unheard of"]).items == ["newer", 3]
    assert "new" not in asked(catalogue, 40, barred=["new", 4]).items
    pinned = asked(catalogue, 3, pins=(Pin("newer", 3),))
    assert pinned.items[2] == "newer"
    assert pinned.scores[2] is not None
    assert pinned.items.count("newer") == 1


def test_once_it_has_a_row_the_row_counts() -> None:
    catalogue = shop(change("new", kind="k1"))
    with_row = version(more=["new"])
    catalogue.prepare(with_row)
    assert catalogue.cold_items == 0
    answer = asked(catalogue, 40, made=with_row)
    assert answer.items.count("new") == 1
    # A request that still has the version before is answered by that.
    assert asked(catalogue, 1).items == ["new"]


def test_the_newest_records_count_and_none_where_the_settings_say_so() -> None:
    news = [change(f"n{at}", kind="k1") for at in range(6)]
    catalogue = catalogue_of(*RECORDS, *news, cold=2)
    catalogue.prepare(MADE)
    assert set(asked(catalogue, 40).items) - set(ITEMS) == {"n4", "n5"}
    # Without another version they are no more than twice as many for long.
    catalogue.apply([change(f"m{at}", kind="k1") for at in range(40)], 90, gently=True)
    assert catalogue.cold_items <= 4
    assert set(asked(shop(*news, cold=0), 40).items) == set(ITEMS)
    # Nor from a version of an earlier build.
    plain = recommender(4)
    older = shop(*news, made=plain)
    assert set(asked(older, 40, made=plain).items) == set(ITEMS)


def test_fewer_than_asked_says_how_many_have_no_events() -> None:
    catalogue = shop(change("new", kind="opera"))
    answer = asked(catalogue, 3, filter=Filter(attribute="kind", equals="opera"))
    assert answer.items == ["new"]
    assert answer.shortfall == (
        "1 of 3 items: the version knows 31 items; the catalogue has 1 more without events; the "
        "filter leaves 1"
    )


def test_what_a_user_has_seen_without_a_row_is_not_recommended_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(load=lambda manifest, store: version())
    bench.catalogue.apply(
        [*RECORDS, change("new", kind="k1"), change("newer", kind="k1")], len(RECORDS) + 2
    )
    publish(bench.store, 1)
    bench.remember(7, [3, "new", 4])
    bench.replica.start()
    try:
        answer = bench.replica.answer(RecommendRequest("r", 7, 40, True))
        assert answer is not None
        assert answer.items[0] == "newer"
        assert not {3, 4, "new"} & set(answer.items)
        monkeypatch.setattr(reader, "decode_items", None)  # of a user all of whose items have rows
        bench.remember(9, [3, 4])
        answer = bench.replica.answer(RecommendRequest("r", 9, 40, True))
        assert answer is not None
        assert {"new", "newer"} <= set(answer.items)
        assert not {3, 4} & set(answer.items)
        events = [Interaction("newer", "view", 1)]
        answer = bench.replica.answer(RecommendRequest("r", 8, 40, True, events=events))
        assert answer is not None
        assert "new" in answer.items
        assert "newer" not in answer.items
        scored = bench.replica.score(ScoreRequest("r", 7, ["new", 3, "unheard of"]))
        assert scored is not None
        assert [score is None for score in scored.scores] == [False, False, True]
    finally:
        bench.replica.stop()


def test_a_record_that_has_no_room_is_no_candidate() -> None:
    """Nothing would say whether it may be shown."""
    catalogue = catalogue_of(*RECORDS, change("new", kind="k1", available=False), most=len(RECORDS))
    catalogue.prepare(MADE)
    assert catalogue.refused == 1
    assert "new" not in asked(catalogue, 40).items


def test_a_version_takes_over_where_items_point_while_the_map_is_the_same() -> None:
    catalogue = shop(change("a", kind="k1"), change("b", kind="k2"), change("c", kind="k0"))
    catalogue.apply([change("b", kind="k0"), removal("c")], 60, gently=True)
    other = version(seed=5, more=["a"])
    other.content = MADE.content
    catalogue.prepare(other)
    answer = asked(catalogue, 40, made=other)
    fresh = catalogue_of(*RECORDS, change("a", kind="k1"), change("b", kind="k0"), removal("c"))
    fresh.prepare(other)
    again = asked(fresh, 40, made=other)
    assert (answer.items, answer.scores) == (again.items, again.scores)
    assert "b" in answer.items
    another = version(seed=6)
    catalogue.prepare(another)
    fresh.prepare(another)
    assert asked(catalogue, 40, made=another).scores == asked(fresh, 40, made=another).scores


def test_where_items_point_is_found_once_while_no_version_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests wait meanwhile."""
    looked, pointing = list[int](), cold_rows.pointing

    def counted(made: Recommender, some: Sequence[Any]) -> Any:
        looked.append(len(some))
        return pointing(made, some)

    monkeypatch.setattr(cold_rows, "pointing", counted)
    catalogue = catalogue_of(cold=5)
    catalogue.prepare(MADE)
    for at in range(18):
        catalogue.apply([change(f"n{at}", kind="k1")], at + 1, gently=True)
    assert catalogue.cold_items <= 10
    assert sum(looked) == 18
    assert {f"n{at}" for at in range(13, 18)} <= set(asked(catalogue, 40).items)


def test_a_version_that_nobody_holds_is_let_go_of() -> None:
    catalogue = shop(change("new", kind="k1"))
    made = version(seed=7)
    catalogue.prepare(made)
    assert asked(catalogue, 1, made=made).items == ["new"]
    held = weakref.ref(made)
    del made
    gc.collect()
    assert held() is None


def test_records_that_come_between_answers_are_all_candidates() -> None:
    catalogue = shop()
    for at in range(60):
        catalogue.apply([change(f"n{at}", kind="k1")], 32 + at, gently=True)
        answer = asked(catalogue, 100)
        assert len(answer.items) == len(ITEMS) + at + 1

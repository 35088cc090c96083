"""One answer from one version, for users known and unknown."""

from __future__ import annotations

import pytest

from everfresh.adapters.memory import MemoryHistoryReader, MemoryWeightStore
from everfresh.contracts.event import ItemId
from everfresh.contracts.sequence import Interaction
from everfresh.serving.exposing import exposure_of
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.recommend import (
    UNKNOWN_ITEMS,
    UNKNOWN_USER,
    Answer,
    RecommendRequest,
    recommend_items,
)
from everfresh.serving.shared_pass import alone
from everfresh.serving.versions.holder import LoadedVersion
from tests.serving.replica_in_memory import (
    CACHE_BYTES,
    ITEMS,
    LENGTH,
    PARTITION,
    publish,
    state_pairs,
)

HISTORY: list[ItemId] = [3, 5, "thirty-one", 7]


@pytest.fixture(scope="module")
def loaded() -> LoadedVersion:
    store = MemoryWeightStore()
    made = publish(store, 4)
    return LoadedVersion(4, 2, made, store.manifest(4), 0)


def reader(user: int | str = 1, items: list[ItemId] | None = None) -> CachedHistoryReader:
    pairs = state_pairs(user, HISTORY if items is None else items, 9)
    return CachedHistoryReader(MemoryHistoryReader({PARTITION: pairs}, LENGTH), CACHE_BYTES)


def request(user: int | str = 1, k: int = 5, exclude_seen: bool = True) -> RecommendRequest:
    return RecommendRequest("r-1", user, k, exclude_seen)


def answered(
    loaded: LoadedVersion, histories: CachedHistoryReader, asked: RecommendRequest
) -> Answer:
    return alone(recommend_items(loaded, histories, asked))


def test_a_known_user_gets_the_models_items_and_the_offset_that_made_them(
    loaded: LoadedVersion,
) -> None:
    answer = answered(loaded, reader(), request())
    history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
    items, scores = loaded.recommender.recommend(history, 5, HISTORY)
    assert answer.items == items
    assert answer.scores == pytest.approx(scores, abs=1e-5)
    assert (answer.version, answer.epoch, answer.source, answer.note) == (4, 2, "model", None)
    assert (answer.state_partition, answer.state_offset) == (PARTITION, 9)
    assert (answer.request_id, answer.user_id, answer.arm) == ("r-1", 1, "default")


def test_seen_items_are_left_out_unless_they_are_wanted(loaded: LoadedVersion) -> None:
    without = answered(loaded, reader(), request(k=len(ITEMS)))
    assert set(without.items) == set(ITEMS) - set(HISTORY)
    with_them = answered(loaded, reader(), request(k=len(ITEMS), exclude_seen=False))
    assert set(with_them.items) == set(ITEMS)


@pytest.mark.parametrize("k", [1, 3, len(ITEMS), len(ITEMS) + 10])
def test_at_most_k_items_come_best_first(loaded: LoadedVersion, k: int) -> None:
    answer = answered(loaded, reader(), request(k=k, exclude_seen=False))
    assert len(answer.items) == len(answer.scores) == min(k, len(ITEMS))
    assert answer.scores == sorted(answer.scores, reverse=True)


def test_an_unknown_user_gets_popular_items_and_is_told_so(loaded: LoadedVersion) -> None:
    answer = answered(loaded, reader(), request(user="stranger"))
    assert answer.items == ITEMS[:5]
    assert (answer.source, answer.note) == ("popular", UNKNOWN_USER)
    assert (answer.state_partition, answer.state_offset) == (None, None)


def test_the_number_7_and_the_text_7_are_two_users(loaded: LoadedVersion) -> None:
    assert answered(loaded, reader(7), request(7)).source == "model"
    assert answered(loaded, reader(7), request("7")).source == "popular"


def test_a_user_of_items_the_version_does_not_know_gets_popular_ones(loaded: LoadedVersion) -> None:
    answer = answered(loaded, reader(1, ["new", "newer"]), request())
    assert answer.items == ITEMS[:5]
    assert (answer.source, answer.note) == ("popular", UNKNOWN_ITEMS)
    assert answer.state_offset == 9, "their state is known, and the answer says how far"


def test_an_exposure_says_what_the_answer_said(loaded: LoadedVersion) -> None:
    answer = answered(loaded, reader(), request())
    shown = exposure_of(answer, 77)
    assert shown.time == 77
    for name in ("request_id", "user_id", "arm", "version", "epoch", "source", "items", "scores"):
        assert getattr(shown, name) == getattr(answer, name)
    assert (shown.state_partition, shown.state_offset) == (PARTITION, 9)

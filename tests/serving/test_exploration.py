"""The answer of an arm that explores: what it holds, and that it says by which chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from everfresh.contracts.event import ItemId
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Arm
from everfresh.contracts.experiments.exploration import Explore
from everfresh.contracts.exposure import decode_exposure, encode_exposure
from everfresh.contracts.items.rules import Cap, Pin, Rules
from everfresh.serving.items import ruled
from everfresh.serving.recommend import Answer, RecommendRequest
from everfresh.serving.rpc import recommender_pb2 as pb
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import Client
from tests.serving.items.shop import change
from tests.serving.replica_in_memory import Bench, publish
from tests.serving.rpc.test_service import call

K = 5
KINDS: dict[ItemId, str] = {n: "abc"[n % 3] for n in range(1, 31)}
USERS = range(1, 41)


def exploring(bench: Bench, explore: Explore | None) -> None:
    arms = [Arm("control", 0.5, explore=explore), Arm("treatment", 0.5, explore=explore)]
    bench.assigner.assignments = Assignments([(4, define(arms=arms))])


def ask(bench: Bench, user: int, **more: Any) -> Answer:
    answer = bench.replica.answer(RecommendRequest("r", user, K, True, **more))
    assert answer is not None
    return answer


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    for user in USERS:
        made.remember(user, [3, 5, 7])
    publish(made.store, 1)
    made.replica.start()
    yield made
    made.replica.stop()


def test_places_show_their_own_item_or_a_candidate_and_name_the_probability(bench: Bench) -> None:
    exploring(bench, None)
    own = list(ask(bench, 1).items)
    exploring(bench, Explore(0.4, top=8))
    number = 0
    for user in USERS:
        answer = ask(bench, user)
        assert len(set(answer.items)) == K
        assert not {3, 5, 7} & set(answer.items)
        for at, item in enumerate(answer.items):
            chosen = at in answer.explored
            assert (item == own[at]) is not chosen
            assert answer.propensities[at] == pytest.approx(0.4 / 8 if chosen else 0.6)
            number += chosen
        shown = bench.exposures.exposures[-1]
        assert (shown.explored, shown.propensities) == (answer.explored, answer.propensities)
        assert shown.explored_share == 0.4
        assert decode_exposure(encode_exposure(shown)) == shown
    assert 50 < number < 110  # of 200 places


def test_an_arm_that_does_not_explore_names_no_probability(bench: Bench) -> None:
    exploring(bench, None)
    answer = ask(bench, 1)
    assert (answer.explored, answer.propensities, answer.explored_share) == ([], [], None)


def test_fresh_items_alone_are_explored_where_that_is_asked_for(bench: Bench) -> None:
    now = 10_000_000
    bench.clock.advance(now - bench.clock())
    bench.catalogue.apply(
        [change(n, published=now - (1_000 if n > 24 else 900_000)) for n in range(1, 31)], 30
    )
    exploring(bench, Explore(0.5, fresh_s=300))
    seen = set()
    for user in USERS:
        answer = ask(bench, user)
        seen |= {answer.items[at] for at in answer.explored}
        assert answer.items_offset == 29
    assert seen
    assert seen <= set(range(25, 31))


def test_without_fresh_items_nothing_is_by_chance(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is told why there are few candidates, and to find out takes long.
    monkeypatch.setattr(ruled, "why_fewer", None)
    exploring(bench, Explore(0.5, fresh_s=300))
    answer = ask(bench, 1)
    assert (answer.explored, answer.propensities) == ([], [1.0] * K)
    assert len(answer.items) == K


def test_an_answer_that_explores_obeys_its_rules_whatever_is_drawn(bench: Bench) -> None:
    bench.catalogue.apply([change(n, kind=kind) for n, kind in KINDS.items()], 30)
    exploring(bench, Explore(0.6))
    rules = Rules(at_most=(Cap("kind", 3),), pins=(Pin(20, 2),))
    explored = 0
    for user in USERS:
        answer = ask(bench, user, rules=rules, attributes=["kind"])
        kinds = [KINDS.get(item, "") for item in answer.items]
        assert all(kinds.count(kind) <= 3 for kind in "abc")
        assert (answer.items[1], answer.propensities[1]) == (20, 1.0)
        assert 1 not in answer.explored
        assert answer.attributes is not None
        assert [each.get("kind", "") for each in answer.attributes] == kinds
        explored += len(answer.explored)
    assert explored


def test_an_exploration_is_named_as_over_http(bench: Bench) -> None:
    exploring(bench, Explore(0.5))
    body = (
        Client(bench).post("/v1/recommend", json={"user_id": 1, "k": K, "request_id": "r"}).json()
    )
    asked = pb.RecommendRequest(user_id=pb.Id(number=1), k=K, request_id="r")
    said = call(bench, lambda stub: stub.Recommend(asked))
    assert body["propensities"] == list(said.propensities)
    assert body["explored"] == list(said.explored)
    assert body["explored_share"] == said.explored_share == 0.5

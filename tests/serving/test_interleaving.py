"""An answer that two tracks make together: whose items they are, and what becomes of one alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import DEFAULT, Arm
from everfresh.contracts.experiments.draws import coins
from everfresh.contracts.experiments.interleaving import Team, team_draft
from everfresh.contracts.exposure import Exposure, decode_exposure, encode_exposure
from everfresh.contracts.items.rules import Cap, Filter, Pin, Rules
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.serving.recommend import Answer, RecommendRequest, ScoreRequest
from everfresh.serving.rpc import recommender_pb2 as pb
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import Client
from tests.serving.items.shop import change
from tests.serving.replica_in_memory import Bench, publish
from tests.serving.rpc.test_service import call
from tests.serving.test_tracks import HISTORY, declare, publish_other, wait_until

TEAMS = [Arm("control", 0.5), Arm("treatment", 0.5, "fast")]
BOTH = define(arms=TEAMS, interleaved=True)
K = 6


class Two(msgspec.Struct):
    """A replica of two tracks, and their models."""

    bench: Bench
    default: Recommender
    fast: Recommender

    def ask(self, user: int, request_id: str = "r", k: int = K, **more: Any) -> Answer:
        request = RecommendRequest(request_id, user, k, True, **more)
        answer = self.bench.replica.answer(request)
        assert answer is not None
        return answer

    def ranking(self, track: int) -> list[Any]:
        made = (self.default, self.fast)[track]
        history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
        return list(made.recommend(history, K, HISTORY)[0])


@pytest.fixture
def two() -> Iterator[Two]:
    bench = Bench()
    bench.assigner.assignments = Assignments([(4, BOTH)])
    for user in range(1, 41):
        bench.remember(user, HISTORY)
    default = publish(bench.store, 1)
    declare(bench)
    fast = publish_other(bench, "fast", 3, seed=9)
    bench.replica.start()
    yield Two(bench, default, fast)
    bench.replica.stop()


def test_law_7_each_item_of_an_interleaved_answer_is_of_the_one_version_that_it_names(
    two: Two,
) -> None:
    firsts = set()
    for user in range(1, 21):
        answer = two.ask(user)
        draw = coins("green", user, "r")
        picked = team_draft((two.ranking(0), two.ranking(1)), K, draw)
        assert list(answer.items) == [each.item for each in picked]
        assert answer.team_of == [each.team for each in picked]
        assert answer.teams == [Team("control", DEFAULT, 1, 0), Team("treatment", "fast", 3, 1)]
        assert (answer.arm, answer.track, answer.version) == ("interleaved", DEFAULT, 1)
        assert (answer.experiment, answer.definition_version) == ("green", 4)
        assert answer.probability == 1.0
        shown = two.bench.exposures.exposures[-1]
        assert (shown.teams, shown.team_of) == (answer.teams, answer.team_of)
        assert decode_exposure(encode_exposure(shown)) == shown
        for item, score, team in zip(answer.items, answer.scores, answer.team_of, strict=True):
            own = two.bench.replica.score(ScoreRequest("s", user, [item]))
            assert own is not None
            if team == 0:
                assert own.scores[0] == pytest.approx(score, rel=1e-4)
        firsts.add(answer.team_of[0])
    assert firsts == {0, 1}


def test_an_interleaved_answer_can_be_computed_again_and_a_repeated_request_is_the_same(
    two: Two,
) -> None:
    assert two.ask(1).items == two.ask(1).items
    drafts = {tuple(two.ask(1, f"r-{number}").team_of) for number in range(20)}
    assert len(drafts) > 4


def test_an_interleaved_answer_of_one_item_is_one_of_the_two_best(two: Two) -> None:
    answers = [two.ask(user, k=1) for user in range(1, 41)]
    assert {(answer.items[0], answer.team_of[0]) for answer in answers} == {
        (two.ranking(0)[0], 0),
        (two.ranking(1)[0], 1),
    }


@pytest.mark.parametrize("missing", [0, 1])
def test_where_a_team_has_no_version_the_default_track_answers_alone_and_names_no_teams(
    two: Two, missing: int
) -> None:
    arms = [Arm("control", 0.5), Arm("treatment", 0.5, "late")]
    declare(two.bench, "late")
    if missing == 0:
        arms = [Arm("control", 0.5, "late"), Arm("treatment", 0.5)]
    two.bench.assigner.assignments = Assignments([(5, define(arms=arms, interleaved=True))])
    answer = two.ask(1)
    assert (answer.arm, answer.track, answer.teams, answer.team_of) == (
        "interleaved",
        DEFAULT,
        [],
        [],
    )
    assert list(answer.items) == two.ranking(0)
    assert two.bench.replica.status().figures["without_track"] == 1
    publish_other(two.bench, "late", 1, seed=5)
    wait_until(lambda: bool(two.ask(1).teams))


def test_a_track_that_dies_ends_the_draft_and_not_the_answers(two: Two) -> None:
    assert two.ask(1).teams
    two.bench.tracks.remove("fast")
    wait_until(lambda: not two.ask(1).teams)
    assert list(two.ask(1).items) == two.ranking(0)


def test_rules_hold_for_an_interleaved_answer_as_a_whole(two: Two) -> None:
    two.bench.catalogue.apply(
        [change(n, kind="abc"[n % 3], even=n % 2 == 0) for n in range(1, 31)], 30
    )
    rules = Rules(
        filter=Filter(attribute="kind", any_of=("a", "b", "c")),
        at_most=(Cap("kind", 2),),
        pins=(Pin(20, 2),),
    )
    for user in range(1, 21):
        answer = two.ask(user, rules=rules, attributes=["kind"])
        assert (answer.items[1], answer.pinned, answer.team_of[1]) == (20, [1], -1)
        kinds = ["abc"[int(item) % 3] for item in answer.items]
        assert sorted(kinds) == ["a", "a", "b", "b", "c", "c"]
        assert answer.attributes is not None
        assert [each["kind"] for each in answer.attributes] == kinds
        assert len(set(answer.items)) == len(answer.team_of) == len(answer.scores) == K
        assert answer.items_offset == 29
        assert abs(answer.team_of.count(0) - answer.team_of.count(1)) == 1
    assert two.ask(1, k=1, rules=Rules(pins=(Pin(20, 1),))).team_of == [-1]
    none = two.ask(1, rules=Rules(filter=Filter(attribute="kind", equals="z")))
    assert (list(none.items), none.team_of) == ([], [])
    assert none.shortfall is not None


def test_both_teams_read_one_state_of_the_user(two: Two) -> None:
    looks = []

    def grow() -> None:
        looks.append(len(looks))
        if len(looks) == 2:  # between the first look and the second
            two.bench.remember(1, [3, 5, 7, 9], offset=8)

    two.bench.on_read = grow
    answer = two.ask(1)
    assert answer.state_offset == 8
    assert 9 not in answer.items


def test_a_user_of_whom_nothing_is_known_gets_what_both_tracks_have_as_popular(two: Two) -> None:
    answer = two.ask(999)
    assert (answer.source, len(answer.items)) == ("popular", K)
    assert answer.note is not None


def test_both_doors_name_the_teams(two: Two) -> None:
    client = Client(two.bench)
    body = client.post("/v1/recommend", json={"user_id": 1, "k": K, "request_id": "r"}).json()
    answer = two.ask(1)
    assert body["team_of"] == answer.team_of
    assert body["teams"][1] == {"arm": "treatment", "track": "fast", "version": 3, "epoch": 1}
    user = pb.Id(number=1)
    asked = pb.RecommendRequest(user_id=user, k=K, request_id="r")
    said = call(two.bench, lambda stub: stub.Recommend(asked))
    assert list(said.team_of) == answer.team_of
    assert [each.track for each in said.teams] == [DEFAULT, "fast"]
    scored = client.post("/v1/score", json={"user_id": 1, "items": [3]}).json()
    assert (scored["arm"], scored["track"], scored["teams"]) == ("interleaved", DEFAULT, [])


def test_an_exposure_of_before_interleaving_has_no_teams() -> None:
    old = Exposure("r", 1, 5, "default", 1, 0, "model", [1], [0.5])
    tree = msgspec.json.decode(encode_exposure(old))
    for name in ("teams", "team_of"):
        del tree[name]
    assert decode_exposure(msgspec.json.encode(tree)) == old

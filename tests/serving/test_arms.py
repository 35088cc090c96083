"""Which arm an answer is made for, and that answer and exposure say so alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from everfresh.adapters.assigners.named import NamedArms
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import Assignment, Assignments
from everfresh.contracts.experiments.definition import Arm, Namespace
from everfresh.contracts.exposure import decode_exposure, encode_exposure
from everfresh.contracts.settings import ExperimentSettings
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import SERVING, Client, assert_problem
from tests.serving.replica_in_memory import Bench

FIELDS = ("experiment", "arm", "track", "definition_version", "probability")
UNEVEN = define(arms=[Arm("control", 0.25), Arm("treatment", 0.75)])


def told(body: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(body[name] for name in FIELDS)


def test_an_answer_its_headers_and_its_exposure_name_the_same_arm(
    bench: Bench, client: Client
) -> None:
    bench.assigner.assignments = made = Assignments([(17, UNEVEN)])
    seen = set()
    for user in [1, "u-7", "stranger", *range(2, 20)]:
        response = client.post("/v1/recommend", json={"user_id": user, "k": 2})
        expected = made.assign(user)
        body, shown = response.json(), bench.exposures.exposures[-1]
        assert Assignment(*told(body)) == expected
        assert Assignment(*(getattr(shown, name) for name in FIELDS)) == expected
        assert decode_exposure(encode_exposure(shown)) == shown
        assert response.headers["x-everfresh-experiment"] == "green"
        assert response.headers["x-everfresh-arm"] == expected.arm
        seen.add((expected.arm, expected.probability))
    assert seen == {("control", 0.25), ("treatment", 0.75)}


def test_without_an_experiment_it_is_the_default_arm(bench: Bench, client: Client) -> None:
    response = client.post("/v1/recommend", json={"user_id": 1})
    assert told(response.json()) == (None, "default", "default", None, None)
    assert response.headers["x-everfresh-arm"] == "default"
    assert "x-everfresh-experiment" not in response.headers
    assert bench.exposures.exposures[-1].experiment is None


def test_scores_are_for_the_arm_that_recommendations_are_for(bench: Bench, client: Client) -> None:
    bench.assigner.assignments = Assignments([(3, UNEVEN)])
    for user in range(20):
        shown = client.post("/v1/recommend", json={"user_id": user}).json()
        scored = client.post("/v1/score", json={"user_id": user, "items": [3]})
        assert told(scored.json()) == told(shown)
        assert scored.headers["x-everfresh-arm"] == shown["arm"]


def test_of_several_running_experiments_the_one_started_first_decides_the_answer(
    bench: Bench, client: Client
) -> None:
    first = define("first", namespace=Namespace("page", 0.0, 0.5))
    second = define("second", namespace=Namespace("list", 0.0, 1.0))
    bench.assigner.assignments = Assignments([(4, first), (9, second)])
    alone = Assignments([(4, first)])
    named = set()
    for user in range(40):
        body = client.post("/v1/recommend", json={"user_id": user}).json()
        assert body["experiment"] == (alone.assign(user).experiment or "second")
        named.add(body["experiment"])
    assert named == {"first", "second"}


def test_an_answer_keeps_its_definition_while_the_definitions_change(
    bench: Bench, client: Client
) -> None:
    """Law 7: one answer, one version, one definition."""
    bench.assigner.assignments = Assignments([(4, define("before"))])

    def change() -> None:
        bench.assigner.assignments = Assignments([(5, define("after"))])

    bench.on_read = change
    assert client.post("/v1/recommend", json={"user_id": 1}).json()["experiment"] == "before"
    shown = bench.exposures.exposures[-1]
    assert (shown.experiment, shown.definition_version) == ("before", 4)
    assert client.post("/v1/recommend", json={"user_id": 1}).json()["experiment"] == "after"


BY_REQUEST = ExperimentSettings(assigner="request", name="home", arms=("control", "new"))


@dataclass
class Elsewhere:
    """A replica whose requests name their arm."""

    client: Client
    bench: Bench

    def arm(self, path: str, user: UserId, **more: Any) -> Any:
        return self.client.post(path, json={"user_id": user, **more})


@pytest.fixture
def elsewhere(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    named = NamedArms(BY_REQUEST.name, BY_REQUEST.arms)
    monkeypatch.setattr(bench.assigner, "assign", named.assign)
    return Elsewhere(Client(bench, SERVING, experiments=BY_REQUEST), bench)


def test_a_request_names_its_arm_from_the_allowed_ones(elsewhere: Elsewhere) -> None:
    body = elsewhere.arm("/v1/recommend", 1, arm="new").json()
    assert told(body) == ("home", "new", "default", None, None)
    shown = elsewhere.bench.exposures.exposures[-1]
    assert (shown.experiment, shown.arm, shown.definition_version) == ("home", "new", None)
    assert told(elsewhere.arm("/v1/score", 1, items=[3], arm="control").json())[1] == "control"
    assert told(elsewhere.arm("/v1/recommend", 1).json())[:2] == (None, "default")


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/score"])
def test_an_arm_that_is_not_allowed_is_refused(elsewhere: Elsewhere, path: str) -> None:
    items = {"items": [3]} if path == "/v1/score" else {}
    problem = assert_problem(elsewhere.arm(path, 1, arm="purple", **items), 422, "bad-request")
    assert problem["errors"][0]["field"] == "arm"
    assert "one of control, new (experiments.arms), found 'purple'" in problem["detail"]
    assert elsewhere.bench.exposures.exposures == []


def test_an_arm_is_refused_where_requests_name_none(bench: Bench, client: Client) -> None:
    response = client.post("/v1/recommend", json={"user_id": 1, "arm": "new"})
    problem = assert_problem(response, 422, "bad-request")
    assert "no request names its arm here (experiments.assigner)" in problem["detail"]


def test_a_status_says_how_many_experiments_run(bench: Bench) -> None:
    bench.assigner.assignments = Assignments([(4, UNEVEN)])
    assert bench.replica.status().figures["experiments"] == 1

"""What a request may ask for: filters, events of its own, scores, neighbours."""

from __future__ import annotations

import pytest

from everfresh.contracts.sequence import Interaction, encode_entry
from tests.serving.http_client import Client, assert_problem
from tests.serving.replica_in_memory import ITEMS, Bench, recommender

HISTORY = [Interaction(item, "view", at) for at, item in enumerate([3, 5, 7])]


def test_listed_items_are_left_out_and_only_allowed_ones_recommended(client: Client) -> None:
    body = {"user_id": 1, "k": 20, "exclude": [9, 11, "unheard of"]}
    free = client.post("/v1/recommend", json=body).json()["items"]
    assert len(free) == 20
    assert not set(free) & {3, 5, 7, 9, 11}
    body |= {"allow": [3, 9, 12, 13, "thirty-one", "unheard of"]}
    allowed = client.post("/v1/recommend", json=body).json()
    assert sorted(allowed["items"], key=str) == [12, 13, "thirty-one"]
    assert allowed["scores"] == sorted(allowed["scores"], reverse=True)
    known = client.post("/v1/recommend", json={"user_id": 1, "k": 20}).json()
    scores = dict(zip(known["items"], known["scores"], strict=True))
    both = [item for item in allowed["items"] if item in scores]
    assert both
    for item, score in zip(allowed["items"], allowed["scores"], strict=True):
        if item in scores:
            assert score == pytest.approx(scores[item], abs=1e-4)


def test_an_unknown_user_gets_the_most_popular_of_the_allowed_items(client: Client) -> None:
    body = {"user_id": "who", "allow": [20, 4, 30, 8], "exclude": [8], "k": 2}
    answer = client.post("/v1/recommend", json=body).json()
    assert (answer["items"], answer["source"]) == ([4, 20], "popular")
    assert client.post("/v1/recommend", json={"user_id": "who", "allow": []}).json()["items"] == []


def test_events_of_the_request_come_after_the_state(client: Client, bench: Bench) -> None:
    events = [{"item_id": 9, "type": "view", "time": 50}, {"item_id": 2, "type": "view"}]
    body = {"user_id": 1, "k": 5, "events": events}
    answer = client.post("/v1/recommend", json=body).json()
    now = bench.clock()
    newer = [Interaction(9, "view", 50), Interaction(2, "view", now)]
    items, scores = recommender(1).recommend([*HISTORY, *newer], 5, [3, 5, 7, 9, 2])
    assert answer["items"] == items
    assert answer["scores"] == pytest.approx(scores, abs=1e-4)
    assert (answer["request_events"], answer["state_offset"]) == (2, 7)
    shown = bench.exposures.exposures[-1]
    assert (shown.request_events, shown.state_offset) == (2, 7)
    plain = client.post("/v1/recommend", json={"user_id": 1, "k": 5}).json()
    assert plain["request_events"] == 0
    assert plain["items"] == recommender(1).recommend(HISTORY, 5, [3, 5, 7])[0]


def test_an_event_that_has_reached_the_state_counts_once(client: Client) -> None:
    body = {"user_id": 1, "events": [{"item_id": 7, "type": "view", "time": 2}]}
    answer = client.post("/v1/recommend", json=body).json()
    assert answer["request_events"] == 0
    assert answer["scores"] == client.post("/v1/recommend", json={"user_id": 1}).json()["scores"]


def test_an_event_whose_bytes_are_in_the_state_by_chance_counts(
    client: Client, bench: Bench
) -> None:
    chance = encode_entry("b", 0, 77, 2.0)
    bench.remember(1, [1, f"a{chance.decode()}c", 2])
    body = {"user_id": 1, "events": [{"item_id": "b", "type": "view", "time": 77, "value": 2.0}]}
    assert client.post("/v1/recommend", json=body).json()["request_events"] == 1


def test_a_stranger_with_events_of_their_own_gets_the_models_items(client: Client) -> None:
    body = {"user_id": "new", "k": 3, "events": [{"item_id": 9, "type": "view", "time": 4}]}
    answer = client.post("/v1/recommend", json=body).json()
    assert (answer["source"], answer["request_events"]) == ("model", 1)
    assert (answer["state_partition"], answer["state_offset"]) == (None, None)
    assert answer["items"] == recommender(1).recommend([Interaction(9, "view", 4)], 3, [9])[0]


def test_candidates_are_scored_in_their_order_as_a_recommendation_scores_them(
    client: Client, bench: Bench
) -> None:
    body = {"user_id": 1, "k": 20, "exclude_seen": False}
    best = client.post("/v1/recommend", json=body).json()
    asked = [*reversed(best["items"]), "unheard of", best["items"][0]]
    answer = client.post("/v1/score", json={"user_id": 1, "items": asked}).json()
    assert answer["items"] == asked
    wanted = [*reversed(best["scores"]), None, best["scores"][0]]
    assert answer["scores"] == [None if w is None else pytest.approx(w, abs=1e-4) for w in wanted]
    assert (answer["version"], answer["state_offset"], answer["source"]) == (1, 7, "model")
    assert len(bench.exposures.exposures) == 1, "a score is not shown to anybody"


def test_a_stranger_has_candidates_scored_by_popularity(client: Client) -> None:
    answer = client.post("/v1/score", json={"user_id": "who", "items": [1, 30, "?"]}).json()
    assert answer["source"] == "popular"
    assert answer["scores"][0] > answer["scores"][1]
    assert answer["scores"][2] is None


@pytest.mark.parametrize("raw", ['{"user_id": 1, "items": []}', '{"user_id": 1}', "{}"])
def test_a_request_without_candidates_is_refused(client: Client, raw: str) -> None:
    assert_problem(client.post("/v1/score", content=raw), 422, "bad-request")


def test_neighbours_are_the_nearest_by_cosine(client: Client) -> None:
    answer = client.post("/v1/similar", json={"item_id": 3, "k": 4}).json()
    table = recommender(1).network.items.detach()
    unit = table / table.norm(dim=1, keepdim=True).clamp(min=1e-6)
    cosines = (unit @ unit[3]).tolist()
    rows = sorted(set(range(1, len(ITEMS) + 1)) - {3}, key=lambda row: -cosines[row])[:4]
    assert answer["items"] == [ITEMS[row - 1] for row in rows]
    assert answer["scores"] == pytest.approx([cosines[row] for row in rows], abs=1e-4)
    assert answer["version"] == 1


def test_an_item_that_the_version_does_not_know_has_no_neighbours(client: Client) -> None:
    body = assert_problem(client.post("/v1/similar", json={"item_id": "3"}), 404, "unknown-item")
    assert "Version 1" in body["detail"]

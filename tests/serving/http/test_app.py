"""The HTTP door: what it takes, what it says, and what it says when it cannot."""

from __future__ import annotations

import json
import re

import pytest

from everfresh.contracts.errors import StateFormatError
from tests.serving.http_client import SERVING, Client, assert_problem
from tests.serving.replica_in_memory import ITEMS, Bench, publish

EVENTS_TOO_MANY = json.dumps([{"item_id": 1, "type": "view"}] * 4)

HEALTH_FIGURES = ("version", "epoch", "version_age_ms", "pointer_age_ms", "state_age_ms")


def test_an_answer_has_everything_that_traces_it(bench: Bench, client: Client) -> None:
    response = client.post("/v1/recommend", json={"user_id": 1, "k": 4, "request_id": "home-1"})
    assert response.status_code == 200
    body = response.json()
    assert len(body["items"]) == len(body["scores"]) == 4
    assert not set(body["items"]) & {3, 5, 7}
    told = {name: body[name] for name in ("request_id", "user_id", "version", "epoch", "arm")}
    assert told == {
        "request_id": "home-1",
        "user_id": 1,
        "version": 1,
        "epoch": 0,
        "arm": "default",
    }
    assert (body["source"], body["note"]) == ("model", None)
    assert (body["state_partition"], body["state_offset"]) == (0, 7)
    assert response.headers["x-everfresh-version"] == "1"
    assert response.headers["x-everfresh-replica"] == "replica-a"
    assert [shown.request_id for shown in bench.exposures.exposures] == ["home-1"]


def test_defaults_are_ten_unseen_items_and_a_request_id_of_our_own(client: Client) -> None:
    body = client.post("/v1/recommend", json={"user_id": 1}).json()
    assert len(body["items"]) == 10
    assert not set(body["items"]) & {3, 5, 7}
    assert re.fullmatch(r"[0-9a-f]{32}", body["request_id"])


def test_a_cold_user_is_told_that_these_are_popular_items(client: Client) -> None:
    body = client.post("/v1/recommend", json={"user_id": "who", "k": 3}).json()
    assert body["items"] == ITEMS[:3]
    assert body["source"] == "popular"
    assert "popular" in body["note"]
    assert body["state_partition"] is None
    assert body["state_offset"] is None


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"user_id": true}', "user_id"),
        ('{"user_id": 1.0}', "user_id"),
        ('{"user_id": ""}', "user_id"),
        ('{"user_id": null}', "user_id"),
        ('{"user_id": [1]}', "user_id"),
        ('{"user_id": 9223372036854775808}', "user_id"),
        ('{"user_id": "%s"}' % ("é" * 101), "user_id"),
        ('{"user_id": "\\ud800"}', "body"),
        ("{}", "user_id"),
        ('{"user_id": 1, "k": 0}', "k"),
        ('{"user_id": 1, "k": true}', "k"),
        ('{"user_id": 1, "k": "5"}', "k"),
        ('{"user_id": 1, "k": %s}' % ("9" * 3_000), "k"),
        ('{"user_id": 1, "k": 1e400}', "k"),
        ("[" * 4_000, "body"),
        ('{"user_id": ' * 300, "user_id"),
        ('{"user_id": 1, "top": ' + "[" * 4_000, "top"),
        ('{"user_id": 1, "k": 21}', "k"),
        ('{"user_id": 1, "exclude_seen": "no"}', "exclude_seen"),
        ('{"user_id": 1, "request_id": ""}', "request_id"),
        ('{"user_id": 1, "top": 3}', "top"),
        ('{"user_id": 1, "exclude": [1.5]}', "exclude"),
        (f'{{"user_id": 1, "allow": {list(range(41))}}}', "allow"),
        ('{"user_id": 1, "events": [{"item_id": 1}]}', "events"),
        ('{"user_id": 1, "events": [{"item_id": 1, "type": "dance"}]}', "events"),
        ('{"user_id": 1, "events": [{"item_id": 1, "type": "view", "time": -1}]}', "events"),
        ('{"user_id": 1, "events": [{"item_id": 1, "type": "view", "value": 1e39}]}', "events"),
        (f'{{"user_id": 1, "events": {EVENTS_TOO_MANY}}}', "events"),
        ("[1]", "body"),
        ("not json", "body"),
        ("", "body"),
    ],
)
def test_a_bad_request_is_refused_with_the_field_named(
    bench: Bench, client: Client, raw: str, field: str
) -> None:
    response = client.post("/v1/recommend", content=raw)
    body = assert_problem(response, 422, "bad-request")
    assert {error["field"] for error in body["errors"]} == {field}
    assert bench.exposures.exposures == []


@pytest.mark.parametrize(
    "raw",
    [
        '{"%s": 1}' % ("x" * 3_000),
        '{"user_id": 1, "events": [{"item_id": 1, "type": "%s"}]}' % ("x" * 3_000),
    ],
)
def test_what_a_client_sent_is_quoted_only_so_far(client: Client, raw: str) -> None:
    body = assert_problem(client.post("/v1/recommend", content=raw), 422, "bad-request")
    for said in (body["detail"], body["errors"][0]["field"], body["errors"][0]["detail"]):
        assert len(said) < 600
    assert body["detail"].endswith("x ... (cut)")


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/score", "/v1/similar"])
@pytest.mark.parametrize("raw", [b'{"user_id":"\xed\xa0\x80"}', b'{"item_id":"\xff"}', b"\xff\xfe"])
def test_bytes_that_are_no_text_are_a_bad_request(client: Client, path: str, raw: bytes) -> None:
    assert_problem(client.post(path, content=raw), 422, "bad-request")


@pytest.mark.parametrize("user", [-(2**63), 2**63 - 1, "é" * 100, '"quoted"'])
def test_every_id_that_the_log_can_hold_is_taken(client: Client, user: int | str) -> None:
    response = client.post("/v1/recommend", json={"user_id": user})
    assert response.status_code == 200
    assert response.json()["user_id"] == user


def test_a_request_that_is_too_long_is_refused_unread(client: Client) -> None:
    response = client.post("/v1/recommend", content=b" " * (SERVING.max_body_bytes + 1))
    assert_problem(response, 413, "too-large")


def test_before_the_first_version_the_door_says_come_again() -> None:
    bench = Bench()
    client = Client(bench)
    for response in (
        client.post("/v1/recommend", json={"user_id": 1}),
        client.post("/v1/score", json={"user_id": 1, "items": [3]}),
        client.post("/v1/similar", json={"item_id": 3}),
        client.get("/readyz"),
        client.get("/v1/version"),
    ):
        assert_problem(response, 503, "no-version-yet")
        assert int(response.headers["retry-after"]) >= 1
    told = client.get("/healthz")
    assert told.status_code == 200
    nothing = dict.fromkeys(HEALTH_FIGURES)
    assert told.json() == {"status": "ok", "replica": "replica-a", **nothing}


def test_health_says_which_version_is_live_and_how_stale_it_and_the_look_for_another_are() -> None:
    bench = Bench()
    bench.clock.advance(499)
    publish(bench.store, 3, epoch=2)
    bench.replica.start()
    bench.replica.stop()
    bench.clock.advance(70)
    client = Client(bench)
    known = {
        "replica": "replica-a",
        "version": 3,
        "epoch": 2,
        "version_age_ms": 1_000 + 499 + 70 - 1,
        "pointer_age_ms": 70,
        "state_age_ms": None,
    }
    assert client.get("/healthz").json() == {"status": "ok", **known}
    assert client.get("/readyz").json() == {"status": "ready", **known}


def test_ready_and_version_name_what_is_live(bench: Bench, client: Client) -> None:
    assert client.get("/readyz").json()["version"] == 1
    bench.clock.advance(40)
    said = client.get("/v1/version").json()
    assert (said["version"], said["epoch"], said["window"]) == (1, 0, 101)
    assert (said["items"], said["replica"], said["live_since_ms"]) == (31, "replica-a", 1_000)
    assert said["trained_through"] == {"0": 10}
    assert said["pointed_version"] == 1
    assert 0 <= said["pointer_age_ms"] <= 40


def test_what_is_not_there_is_a_problem_document_too(client: Client) -> None:
    assert_problem(client.get("/nowhere"), 404, "not-found")
    wrong = client.get("/v1/recommend")
    assert_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "POST"
    wrong = client.post("/healthz")
    assert_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET, HEAD"


def test_what_can_be_got_can_be_asked_for_by_head(client: Client) -> None:
    for path in ("/healthz", "/readyz", "/v1/version"):
        assert client.head(path).status_code == 200
        assert (
            client.head(path).headers["content-length"]
            == client.get(path).headers["content-length"]
        )


def test_an_error_of_ours_shows_no_inside(bench: Bench, client: Client) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    bench.on_read = broken
    response = client.post("/v1/recommend", json={"user_id": 1})
    assert_problem(response, 500, "internal")
    assert "secret" not in response.text


def test_state_that_cannot_be_read_is_named(bench: Bench, client: Client) -> None:
    def broken() -> None:
        raise StateFormatError("sequence format 1 expected, found 2")

    bench.on_read = broken
    response = client.post("/v1/recommend", json={"user_id": 1})
    body = assert_problem(response, 503, "state-unreadable")
    assert body["detail"] == "sequence format 1 expected, found 2"


def test_behind_a_path_of_its_own_every_address_answers_as_without(bench: Bench) -> None:
    client = Client(bench, SERVING.model_copy(update={"route_prefix": "/shop/eu"}))
    assert client.post("/shop/eu/v1/recommend", json={"user_id": 1, "k": 4}).status_code == 200
    assert client.get("/shop/eu/readyz").json()["status"] == "ready"
    assert client.post("/shop/eu/ofrep/v1/evaluate/flags", json={}).status_code == 400
    assert_problem(client.get("/shop/eu/nowhere"), 404, "not-found")
    page = client.get("/shop/eu/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert links
    for link in links:
        assert client.get(link).status_code == 200, link
    assert client.get("/shop/eu/openapi.json").json()["servers"] == [{"url": "/shop/eu"}]

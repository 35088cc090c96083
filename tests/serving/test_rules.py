"""Rules and the catalogue at the doors: what a request may ask, and what its answer says."""

from __future__ import annotations

from typing import Any

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.exposure import decode_exposure, encode_exposure
from everfresh.contracts.settings import ItemSettings, ServingSettings, load_settings
from everfresh.serving.rpc import recommender_pb2 as pb
from everfresh.serving.rpc.fields import similar_fields
from tests.serving.http_client import Client, assert_problem
from tests.serving.items.shop import change, removal
from tests.serving.replica_in_memory import ITEMS, Bench, publish

WIDE = ServingSettings(max_k=40, max_body_bytes=200_000)
EVEN = {"filter": {"attribute": "even", "equals": True}}


def stock(bench: Bench) -> None:
    bench.catalogue.apply([change(n, even=n % 2 == 0, rank=n) for n in range(1, 31)], 30)


def ask(client: Client, **more: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user_id": 1, **more})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_a_request_may_bring_rules_and_its_exposure_names_them(
    bench: Bench, client: Client
) -> None:
    stock(bench)
    rules = {
        **EVEN,
        "at_most": [{"attribute": "even", "n": 4}],
        "pins": [{"item_id": "p", "position": 2}],
    }
    body = ask(client, k=5, rules=rules)
    assert body["items"][1] == "p"
    assert all(item % 2 == 0 for item in body["items"] if item != "p")
    assert (len(body["items"]), body["pinned"], body["shortfall"]) == (5, [1], None)
    shown = bench.exposures.exposures[-1]
    assert decode_exposure(encode_exposure(shown)) == shown
    assert (shown.items_offset, shown.rules, shown.pinned) == (29, body["rules"], [1])
    assert len(shown.scores) == len(shown.items) == 5
    assert ask(client, k=5, rules=rules)["rules"] == body["rules"]
    assert ask(client, k=5, rules=EVEN)["rules"] != body["rules"]
    assert ask(client, k=5)["rules"] is None


def test_without_catalogue_and_rules_an_answer_is_as_it_was(bench: Bench, client: Client) -> None:
    body = ask(client, k=5)
    names = ("items_offset", "rules", "pinned", "shortfall")
    assert [body[name] for name in names] == [None, None, [], None]
    assert not bench.catalogue.in_use


@pytest.mark.parametrize("how", [removal, lambda item: change(item, available=False)])
def test_what_was_taken_out_is_in_no_answer_of_any_kind(how: Any, bench: Bench) -> None:
    client = Client(bench, WIDE)
    gone = ask(client, k=1)["items"][0]
    bench.catalogue.apply([how(gone)], 1)
    for more in (
        {},
        {"k": 31, "exclude_seen": False},
        {"allow": [gone, 3]},
        {"rules": {"pins": [{"item_id": gone, "position": 1}]}},
    ):
        assert gone not in ask(client, **more)["items"]
    assert gone not in client.post("/v1/recommend", json={"user_id": "stranger"}).json()["items"]
    other = 2 if gone != 2 else 4
    near = client.post("/v1/similar", json={"item_id": other, "k": 30}).json()
    assert gone not in near["items"]
    scored = client.post("/v1/score", json={"user_id": 1, "items": [gone, other]}).json()
    assert [score is None for score in scored["scores"]] == [True, False]
    bench.catalogue.apply([change(gone)], 2)
    assert ask(client, k=1)["items"] == [gone]


def test_similar_items_fit_the_filters_of_settings_and_request(bench: Bench) -> None:
    stock(bench)
    client = Client(bench, WIDE, items=ItemSettings(rules={**EVEN, "mmr_lambda": 0.5}))
    near = client.post("/v1/similar", json={"item_id": 3, "k": 40}).json()
    assert set(near["items"]) == set(range(2, 31, 2))
    low = {"attribute": "rank", "at_most": 9}
    near = client.post("/v1/similar", json={"item_id": 3, "k": 40, "filter": low}).json()
    assert set(near["items"]) == {2, 4, 6, 8}
    message = pb.SimilarRequest(
        item_id=pb.Id(number=3), filter=pb.Filter(attribute="rank", at_most=9)
    )
    assert similar_fields(message) == {"item_id": 3, "filter": low}
    response = client.post("/v1/similar", json={"item_id": 3, "filter": {}})
    assert_problem(response, 422, "bad-request")


def test_an_item_expires_by_the_clock(bench: Bench, client: Client) -> None:
    best = ask(client, k=1)["items"][0]
    bench.catalogue.apply([change(best, expires=bench.clock() + 10)], 1)
    assert ask(client, k=1)["items"] == [best]
    bench.clock.advance(10)
    assert ask(client, k=1)["items"] != [best]


def test_an_answer_that_falls_short_says_why(bench: Bench, client: Client) -> None:
    stock(bench)
    body = ask(client, k=5, rules={"filter": {"attribute": "evne", "equals": True}})
    assert body["items"] == []
    assert "no item of the catalogue has the attribute evne" in body["shortfall"]


def test_an_answer_tells_the_attributes_that_are_asked_for(bench: Bench, client: Client) -> None:
    assert ask(client)["attributes"] is None
    assert ask(client, k=2, attributes=["title"])["attributes"] == [{}, {}]
    told = {"title": "Heat", "genres": ["crime", "drama"], "year": 1995.0, "hd": True}
    bench.catalogue.apply([change(item, **told, about="x" * 900) for item in ITEMS[:-1]], 30)
    names = [*told, "about", "unheard"]
    assert ask(client, k=2, attributes=names)["attributes"] == [told, told]
    response = client.post("/v1/recommend", json={"user_id": 1, "attributes": ["a"] * 21})
    assert_problem(response, 422, "bad-request")


WRONG = [
    ({"filter": {}}, "a filter has one of attribute, all, any and none; found 0"),
    ({"filter": {"attribute": "a"}}, "the condition on a has one of equals, any_of"),
    ({"filter": {"attribute": "a", "equals": 1, "at_least": 1}}, "found 2 of them"),
    ({"filter": {"attribute": "a", "equals": 1, "all": []}}, "length >= 1"),
    ({"filter": {"equals": 1}}, "found 0 of them"),
    ({"filter": {"attribute": "a b", "equals": 1}}, "no attribute is called 'a b'"),
    ({"filter": {"attribute": "available", "equals": 1}}, "no attribute is called"),
    ({"filter": {"attribute": "a", "like": "x"}}, "unknown field `like`"),
    ({"filtre": {}}, "unknown field `filtre`"),
    ({"mmr_lambda": 1.5}, "<= 1"),
    ({"at_most": [{"attribute": "a", "n": 0}]}, ">= 1"),
    ({"boosts": [{"filter": EVEN["filter"], "add": 1e9}]}, "<= 100"),
    ({"pins": [{"item_id": 1, "position": 1}, {"item_id": 2, "position": 1}]}, "of its own"),
    ({"filter": {"all": [EVEN["filter"]] * 100}}, "at most 100 filters, 8 inside each other"),
]


@pytest.mark.parametrize(("rules", "why"), WRONG)
def test_rules_that_cannot_be_meant_are_refused_by_name(
    rules: dict[str, Any], why: str, client: Client
) -> None:
    response = client.post("/v1/recommend", json={"user_id": 1, "rules": rules})
    problem = assert_problem(response, 422, "bad-request")
    assert why in problem["detail"]
    assert problem["errors"][0]["field"] in {"rules", "filter", "at_most", "boosts", "pins"}


def test_rules_that_nest_without_end_are_refused(bench: Bench) -> None:
    client = Client(bench, WIDE)
    deep = '{"all":[' * 5_000 + '{"attribute":"a","equals":1}' + "]}" * 5_000
    raw = f'{{"user_id":1,"rules":{{"filter":{deep}}}}}'.encode()
    problem = assert_problem(client.post("/v1/recommend", content=raw), 422, "bad-request")
    assert "nests deeper" in problem["detail"] or "recursion" in problem["detail"]


def test_rules_of_the_settings_hold_for_all_and_a_request_adds_to_them(bench: Bench) -> None:
    stock(bench)
    defaults = {**EVEN, "pins": [{"item_id": 30, "position": 1}]}
    client = Client(bench, WIDE, items=ItemSettings(rules=defaults))
    body = ask(client, k=31, exclude_seen=False)
    assert (body["items"][0], set(body["items"])) == (30, set(range(2, 31, 2)))
    low = {"filter": {"attribute": "rank", "at_most": 9}, "pins": []}
    assert set(ask(client, k=31, exclude_seen=False, rules=low)["items"]) == {2, 4, 6, 8}


def test_only_what_is_listed_may_be_shown_where_the_settings_say_so() -> None:
    made = Bench(items=ItemSettings(unlisted="exclude"))
    publish(made.store, 1)
    made.replica.start()
    client = Client(made, WIDE)
    body = ask(client)
    assert body["items"] == []
    assert f"{len(ITEMS)} of them may not be shown now" in body["shortfall"]
    stock(made)
    assert len(ask(client, k=31)["items"]) == 30
    made.replica.stop()


def test_wrong_rules_in_the_settings_are_one_clear_line() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"items": {"rules": {"filter": {"attribute": "a"}}}})
    assert "items.rules: the condition on a has one of equals" in str(caught.value)
    assert "docs/items.md shows rules" in str(caught.value)


def test_rules_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "EVERFRESH_ITEMS__RULES", '{"filter": {"attribute": "adult", "equals": false}}'
    )
    rules = load_settings().items.default_rules
    assert rules is not None
    assert rules.filter is not None
    assert rules.filter.equals is False

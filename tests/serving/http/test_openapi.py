"""What the OpenAPI document and its page promise, held against what the door does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from everfresh.contracts.experiments.assignment import Assignments
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import TOKEN, Client, assert_problem
from tests.serving.replica_in_memory import Bench


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.urls += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_documentation_page_needs_no_other_server(client: Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"https?://", page.text)
    links = _Links()
    links.feed(page.text)
    assert any(link.endswith(".js") for link in links.urls)
    for link in links.urls:
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize(
    "path", ["/docsx", "/openapi.jsonx", "/docs/static/nope", "/docs/static/%2e%2e/%2e%2e/x"]
)
def test_beside_the_documentation_there_is_a_problem_document(client: Client, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/static/swagger-ui.css"])
def test_the_documentation_is_only_read(client: Client, path: str) -> None:
    refused = client.post(path)
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET"


PATHS = [
    "/v1/recommend",
    "/v1/score",
    "/v1/similar",
    "/v1/version",
    "/healthz",
    "/readyz",
    "/v1/admin/status",
]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema["$ref"].removeprefix("#/components/schemas/")
    schema: dict[str, Any] = document["components"]["schemas"][name]
    return schema


def test_every_address_of_the_door_is_documented(client: Client) -> None:
    document = client.get("/openapi.json").json()
    flags = "/ofrep/v1/evaluate/flags"
    assert set(document["paths"]) == {*PATHS, flags, f"{flags}/{{key}}"}


def test_the_document_shows_what_a_flag_is(client: Client, bench: Bench) -> None:
    bench.assigner.assignments = Assignments([(17, define("home-page"))])
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/{key}"):
        post = paths[path]["post"]
        taken = post["requestBody"]["content"]["application/json"]["example"]
        answer = client.post(path.replace("{key}", "home-page"), json=taken).json()
        shown = post["responses"]["200"]["content"]["application/json"]["example"]
        assert set(answer) == set(shown)
        flags = [made["flags"][0] if "flags" in made else made for made in (answer, shown)]
        assert set(flags[0]) == set(flags[1])


@pytest.mark.parametrize("path", PATHS[:3])
def test_the_document_shows_requests_answers_and_problems(client: Client, path: str) -> None:
    document = client.get("/openapi.json").json()
    post = document["paths"][path]["post"]
    taken = post["requestBody"]["content"]["application/json"]
    fields = resolved(document, taken["schema"])["properties"]
    assert all("description" in field for field in fields.values())
    given = post["responses"]["200"]["content"]["application/json"]
    # A known item, since the door answers 404 for the neighbours of another.
    known = {"item_id": 3} if path == "/v1/similar" else {}
    for example in taken["examples"].values():
        assert set(example["value"]) <= set(fields)
        answer = client.post(path, json={**example["value"], **known})
        assert answer.status_code == 200, answer.text
        assert set(resolved(document, given["schema"])["properties"]) == set(answer.json())
        assert set(given["example"]) == set(answer.json())
    problem = post["responses"]["503"]["content"]["application/problem+json"]["schema"]
    assert "detail" in resolved(document, problem)["properties"]


@pytest.mark.parametrize("path", PATHS[3:])
def test_the_examples_of_other_addresses_have_what_these_say(client: Client, path: str) -> None:
    document = client.get("/openapi.json").json()
    get = document["paths"][path]["get"]
    example = get["responses"]["200"]["content"]["application/json"]["example"]
    said = client.get(path, headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert set(said) == set(example)


def test_the_document_says_the_limits(client: Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["RecommendBody"]["properties"]["k"]["maximum"] == 20
    assert schemas["ScoreBody"]["properties"]["items"]["maxItems"] == 40
    assert schemas["RecommendBody"]["properties"]["events"]["maxItems"] == 3

"""The AsyncAPI document: every reference leads somewhere, and it says what the settings say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.published.asyncapi import asyncapi_document
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.topics.contract import run_contract


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_reference_leads_somewhere(make_settings: Callable[..., Settings]) -> None:
    document = asyncapi_document(make_settings(), "1.2.3")
    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_it_says_what_the_settings_say(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(kafka={"topic_prefix": "shop."}, events={"actions": ["read", "save"]})
    document = asyncapi_document(settings, "1.2.3")
    assert document["channels"]["events"]["address"] == "shop.events"
    schemas = document["components"]["schemas"]
    assert schemas["EventRecord"]["properties"]["type"]["enum"] == ["read", "save"]
    assert {each["action"] for each in document["operations"].values()} == {"send", "receive"}
    for message in document["components"]["messages"].values():
        for example in message.get("examples", []):
            payload = {**message["payload"], "components": {"schemas": schemas}}
            Draft7Validator(payload).validate(example["payload"])


def test_the_command_prints_the_document_or_one_schema(
    make_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    run_contract(settings, "")
    assert json.loads(capsys.readouterr().out)["asyncapi"] == "3.0.0"
    for topic in ("events", f"{settings.kafka.topic_prefix}events"):
        run_contract(settings, topic)
        assert json.loads(capsys.readouterr().out)["title"] == "EventRecord"
    with pytest.raises(SettingsError, match="events, exposures, outcomes"):
        run_contract(settings, "clicks")

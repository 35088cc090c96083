"""Requests as plain data, as their JSON says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.rules import MOST_CONDITIONS, MOST_VALUES
from everfresh.serving.requests import problems
from everfresh.serving.rpc import recommender_pb2 as pb


def _id_value(message: pb.Id) -> ItemId | None:
    """The id, ``None`` where it is not set."""
    kind = message.WhichOneof("kind")
    value: ItemId | None = None if kind is None else getattr(message, kind)
    return value


def _optional_fields(message: Message, *names: str) -> dict[str, Any]:
    """Those of the optional fields that are set."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def recommend_fields(message: pb.RecommendRequest) -> dict[str, Any]:
    """As the JSON of such a request says it."""
    return {
        "user_id": _id_value(message.user_id),
        "exclude": _id_values(message.exclude),
        "allow": _id_values(message.allow.ids) if message.HasField("allow") else None,
        "events": _event_fields(message.events),
        "attributes": list(message.attributes),
        "rules": _rules_fields(message.rules) if message.HasField("rules") else None,
        **_optional_fields(message, "k", "exclude_seen", "request_id", "arm", "min_state_offset"),
    }


def score_fields(message: pb.ScoreRequest) -> dict[str, Any]:
    """As the JSON of such a request says it."""
    return {
        "user_id": _id_value(message.user_id),
        "items": _id_values(message.items),
        "events": _event_fields(message.events),
        **_optional_fields(message, "request_id", "arm", "min_state_offset"),
    }


def similar_fields(message: pb.SimilarRequest) -> dict[str, Any]:
    """As the JSON of such a request says it."""
    said = {"item_id": _id_value(message.item_id), **_optional_fields(message, "k")}
    if message.HasField("filter"):
        said["filter"] = _filter_fields(message.filter, iter(range(MOST_CONDITIONS)))
    return said


def _rules_fields(message: pb.Rules) -> dict[str, Any]:
    """As the JSON of rules says it. A list that is empty cannot be told from one that is absent.

    ``Problem`` where there are more filters than rules may have, before many are looked at.
    """
    budget = iter(range(MOST_CONDITIONS))
    said = _optional_fields(message, "mmr_lambda")
    if message.HasField("filter"):
        said["filter"] = _filter_fields(message.filter, budget)
    if message.boosts:
        said["boosts"] = [
            {"filter": _filter_fields(boost.filter, budget), "add": boost.add}
            for boost in message.boosts
        ]
    if message.at_most:
        said["at_most"] = [{"attribute": cap.attribute, "n": cap.n} for cap in message.at_most]
    if message.pins:
        said["pins"] = [
            {"item_id": _id_value(pin.item_id), "position": pin.position} for pin in message.pins
        ]
    return said


def _filter_fields(message: pb.Filter, budget: Iterator[int]) -> dict[str, Any]:
    if next(budget, None) is None:
        raise problems.bad_request("rules", f"rules have at most {MOST_CONDITIONS} filters")
    if len(message.any_of) > MOST_VALUES:
        raise problems.bad_request(
            "any_of", f"at most {MOST_VALUES} values, found {len(message.any_of)}"
        )
    said = _optional_fields(message, "at_least", "at_most")
    if message.attribute:
        said["attribute"] = message.attribute
    if message.HasField("equals"):
        said["equals"] = _value(message.equals)
    if message.any_of:
        said["any_of"] = [_value(each) for each in message.any_of]
    for name in ("all", "any", "none"):
        if inner := getattr(message, name):
            said[name] = [_filter_fields(each, budget) for each in inner]
    return said


def _value(message: pb.Value) -> str | float | bool | None:
    kind = message.WhichOneof("kind")
    value: str | float | bool | None = None if kind is None else getattr(message, kind)
    return value


def _id_values(messages: Iterable[pb.Id]) -> list[ItemId | None]:
    return [_id_value(message) for message in messages]


def _event_fields(events: Iterable[pb.Event]) -> list[dict[str, Any]]:
    return [
        {
            "item_id": _id_value(event.item_id),
            "type": event.type,
            **_optional_fields(event, "time", "value"),
        }
        for event in events
    ]

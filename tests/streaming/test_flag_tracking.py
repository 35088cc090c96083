"""What is tracked through OpenFeature becomes an event, or an error that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from openfeature.track import TrackingEventDetails

from everfresh import tracking
from everfresh.contracts.errors import EventRejected


class Sent:
    """As ``EventProducer``, up to the log."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def send(self, **fields: Any) -> None:
        if "item_id" not in fields:
            raise EventRejected("missing_field", "item_id must be given")
        self.events.append(fields)


@pytest.fixture
def sent() -> Iterator[Sent]:
    made = Sent()
    flags = {"home-page": InMemoryFlag("t", {"t": "treatment"})}
    api.set_provider_and_wait(tracking(InMemoryProvider(flags), made))  # type: ignore[arg-type]
    yield made
    api.shutdown()


def test_what_is_tracked_is_an_event_of_the_answer_that_it_names(sent: Sent) -> None:
    client = api.get_client()
    assert client.get_string_value("home-page", "default", EvaluationContext("42")) == "treatment"
    details = TrackingEventDetails(
        19.9, {"item_id": "B00042", "request_id": "5b0d9f6c", "page": "home"}
    )
    client.track("purchase", EvaluationContext("42"), details)
    client.track("click", EvaluationContext("42", {"user_id": 42}), TrackingEventDetails(
        attributes={"item_id": 7, "id": "e-1", "time": 1_760_000_000_000}
    ))  # fmt: skip
    assert sent.events == [
        {
            "type": "purchase",
            "user_id": "42",
            "item_id": "B00042",
            "request_id": "5b0d9f6c",
            "value": 19.9,
            "attributes": {"page": "home"},
        },
        {
            "type": "click",
            "user_id": 42,
            "item_id": 7,
            "id": "e-1",
            "time": 1_760_000_000_000,
            "value": None,
            "attributes": None,
        },
    ]


def test_what_can_be_no_event_is_refused_where_it_is_tracked(sent: Sent) -> None:
    with pytest.raises(EventRejected, match="item_id must be given"):
        api.get_client().track("click", EvaluationContext("42"))
    assert sent.events == []

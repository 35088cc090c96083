"""OpenFeature's ``track()`` for applications: what is tracked becomes an event of the log.

    from openfeature import api
    from openfeature.contrib.provider.ofrep import OFREPProvider
    from everfresh import EventProducer, tracking

    events = EventProducer("127.0.0.1:9092")
    api.set_provider_and_wait(tracking(OFREPProvider("http://127.0.0.1:8000"), events))

Needs nothing of OpenFeature itself: the provider is the application's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from everfresh.streaming.producer import EventProducer

_OWN = ("item_id", "request_id", "id", "time")


class _Context(Protocol):
    """What of an evaluation context is used."""

    targeting_key: str | None
    attributes: Mapping[str, Any]


class _Details(Protocol):
    """What of the details of a tracking event is used."""

    value: float | None
    attributes: Mapping[str, Any]


_Provider = TypeVar("_Provider")


def tracking(provider: _Provider, events: EventProducer) -> _Provider:
    """The provider itself, whose ``track()`` sends an event from now on.

    The name that is tracked is the event's type, the targeting key its user (an attribute
    ``user_id`` of the context, where there is one: ids keep their type, and targeting keys are
    text). Of the details, ``item_id``, ``request_id``, ``id`` and ``time`` are the event's fields,
    ``value`` is its value, and all else its attributes. With the answer's ``request_id`` it counts
    as feedback on that answer.

    ``track()`` raises what ``EventProducer.send`` raises: ``EventRejected`` where the event cannot
    be accepted, such as one without an ``item_id``; ``DeliveryError`` where earlier ones failed.
    """

    def track(
        tracking_event_name: str,
        evaluation_context: _Context | None = None,
        tracking_event_details: _Details | None = None,
    ) -> None:
        given: dict[str, Any] = {}
        if tracking_event_details is not None:
            given = dict(tracking_event_details.attributes)
        fields: dict[str, Any] = {name: given.pop(name) for name in _OWN if name in given}
        if evaluation_context is not None:
            named = evaluation_context.attributes.get("user_id", evaluation_context.targeting_key)
            if named is not None:
                fields["user_id"] = named
        if tracking_event_details is not None:
            fields["value"] = tracking_event_details.value
        events.send(type=tracking_event_name, attributes=given or None, **fields)

    provider.track = track  # type: ignore[attr-defined]  # whatever it did there before
    return provider

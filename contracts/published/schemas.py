"""JSON Schema (draft 2020-12) of the records that others write or read, made from their types.

A schema refuses nothing that the decoder of the record takes. The decoder alone refuses these:
a whole number that is written with a point or an exponent (``7.0``), an id of more than
:data:`MAX_ID_BYTES` bytes that has fewer characters, text with half a surrogate pair, a value of
more than ``events.max_bytes``; and the worker an event that is ahead of the broker's clock.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from everfresh.contracts.event import MAX_ID_BYTES, Event
from everfresh.contracts.event_codec import MAX_VALUE
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.foreign import MAX_TIME_MS
from everfresh.contracts.outcome import Outcome
from everfresh.contracts.published import examples
from everfresh.contracts.topics import EVENTS, EXPOSURES, OUTCOMES, TopicSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_Id = (
    Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
)


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class EventRecord(Event, frozen=True, omit_defaults=True):
    """One thing that a user did to an item, as the value of a record in the topic ``events``.

    The record's key is the user id as text. Its partition is that of Kafka's own partitioner
    (murmur2). A record with the CloudEvents headers ``ce_id``, ``ce_type`` and ``ce_time`` may
    leave ``id``, ``type`` and ``time`` out of its value. Fields that are not listed are ignored.
    """

    id: Annotated[
        str,
        msgspec.Meta(min_length=1),
        _about("Names the event: of two with the same user and id, one is applied."),
    ]
    type: Annotated[str, msgspec.Meta(min_length=1), _about("What the user did.")]
    time: Annotated[
        int,
        msgspec.Meta(ge=0, le=MAX_TIME_MS),
        _about("When it happened, in UTC milliseconds since 1970."),
    ]
    user_id: Annotated[
        _Id,
        _about(f'A whole number or text of 1 to {MAX_ID_BYTES} bytes. 7 and "7" are two users.'),
    ]
    item_id: Annotated[
        _Id,
        _about(f'A whole number or text of 1 to {MAX_ID_BYTES} bytes. 7 and "7" are two items.'),
    ]
    value: Annotated[
        Annotated[float, msgspec.Meta(ge=-MAX_VALUE, le=MAX_VALUE)] | None,
        _about("A magnitude, such as a rating; absent or null for none."),
    ] = None
    request_id: Annotated[
        str | None, _about("The request_id of the answer that led to the event.")
    ] = None
    attributes: Annotated[dict[str, Any] | None, _about("Anything else; it stays in Kafka.")] = None


class PublishedRecord(msgspec.Struct, frozen=True):
    """A topic that others write (``received``) or read, the type of its values, and examples.

    ``key`` says what the record's key is.
    """

    spec: TopicSpec
    type: type[msgspec.Struct]
    key: str
    received: bool
    examples: Sequence[dict[str, Any]]

    @property
    def name(self) -> str:
        """The topic without the prefix."""
        return self.spec.name


RECORDS = (
    PublishedRecord(
        EVENTS,
        EventRecord,
        "The user id as UTF-8 text: 42 for the number 42, without quotes.",
        True,
        examples.events(),
    ),
    PublishedRecord(EXPOSURES, Exposure, "The user id as UTF-8 text.", False, examples.exposures()),
    PublishedRecord(
        OUTCOMES,
        Outcome,
        "The outcome's id; of several with one id, the first counts.",
        False,
        examples.outcomes(),
    ),
)


def components(actions: Sequence[str], ref: str) -> dict[str, Any]:
    """The schemas of all records and their parts, by name. ``ref`` is the form of a reference, such
    as ``#/$defs/{name}``; ``actions`` are the event types that are accepted."""
    types = [record.type for record in RECORDS]
    _, schemas = msgspec.json.schema_components(types, ref_template=ref)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = _plain(schema["description"])
    event = schemas[EventRecord.__name__]
    kind = event["properties"]["type"]
    event["properties"]["type"] = {**kind, "enum": list(actions)}
    return schemas


def examples_for(record: PublishedRecord, actions: Sequence[str]) -> list[dict[str, Any]]:
    """The examples, where they are events with a type that is accepted."""
    return [
        {**example, "type": actions[0]}
        if example.get("type", actions[0]) not in actions
        else example
        for example in record.examples
    ]


def json_schema(record: PublishedRecord, actions: Sequence[str]) -> dict[str, Any]:
    """The schema of one record's value by itself."""
    schemas = components(actions, "#/$defs/{name}")
    own = schemas[record.type.__name__]
    needed = _referenced(own, schemas)
    parts = {name: schemas[name] for name in sorted(needed)}
    return {
        "$schema": DIALECT,
        **own,
        "examples": examples_for(record, actions),
        **({"$defs": parts} if parts else {}),
    }


def _referenced(schema: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of all that a schema refers to, also by way of others."""
    found: set[str] = set()
    open_parts = [schema]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                open_parts.append(schemas[name])
            open_parts += part.values()
        elif isinstance(part, list):
            open_parts += part
    return found


def _plain(docstring: str) -> str:
    return inspect.cleandoc(docstring).replace("``", "`").replace(":class:", "")

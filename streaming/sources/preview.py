"""What the newest records of a source would become, without writing anything or joining a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from everfresh.adapters.kafka.consumers import connect_consumer, read_until, reading
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.settings import Settings
from everfresh.streaming.sources.conversion import TOMBSTONE, Conversion, Converted

RECORDS = 1_000
_EXAMPLES = 10


class Preview(msgspec.Struct):
    """Counts, the values of some events, and by reason the place and detail of a first reject."""

    read: int = 0
    events: int = 0
    filtered: int = 0
    tombstones: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    first_of: dict[str, str] = {}
    examples: list[str] = []


def preview(settings: Settings, name: str) -> Preview:
    """Look at the newest records. ``Unreachable`` where Kafka or the registry does not answer."""
    conversion = Conversion(name, settings)
    found = Preview()
    for record in _newest(settings, settings.sources[name].topic):
        found.read += 1
        place = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp}"
        try:
            made = conversion.convert(
                place, record.timestamp, record.key, list(record.headers), record.value
            )
        except EventRejected as cause:
            found.rejected[cause.reason] += 1
            at = f"partition {record.partition} offset {record.offset}: {cause.detail}"
            found.first_of.setdefault(cause.reason, at)
            continue
        if isinstance(made, Converted):
            found.events += 1
            if len(found.examples) < _EXAMPLES:
                found.examples.append(made.value.decode())
        elif made == TOMBSTONE:
            found.tombstones += 1
        else:
            found.filtered += 1
    return found


def _newest(settings: Settings, topic: str) -> Iterator[Any]:
    brokers = settings.kafka.brokers
    with reading(topic, brokers), connect_consumer(brokers, [topic]) as consumer:
        places = list(consumer.assignment())
        ends = consumer.end_offsets(places)
        starts = consumer.beginning_offsets(places)
        share = max(1, RECORDS // len(places))
        for place in places:
            consumer.seek(place, max(starts[place], ends[place] - share))
        for _, records in read_until(consumer, ends):
            yield from records

"""What the topic ``items`` holds now, as far as a command needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import blake2b

from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item, ItemChange, encode_item
from everfresh.contracts.settings import Settings

REMOVED = b""
_SAID_S = 5.0

Say = Callable[[str], None]


def digest(item: Item) -> bytes:
    """Equal for equal items: a catalogue of millions is compared in little memory."""
    return blake2b(encode_item(item), digest_size=12).digest()


def changes_so_far(settings: Settings, say: Say) -> Iterator[ItemChange]:
    """All records up to now; ``say`` hears how far it is, and what was left out."""
    said = time.monotonic()
    with KafkaItemSource(settings.kafka.brokers, settings.kafka.topic_prefix) as source:
        for batch in source.read_to_end():
            yield from batch
            if time.monotonic() - said >= _SAID_S:
                said = time.monotonic()
                say(f"the catalogue is read: {source.end:,} of {source.goal:,} records")
        if source.skipped:
            say(source.left_out())


def known_digests(settings: Settings, say: Say) -> dict[ItemId, bytes]:
    """The digest of each item; ``REMOVED`` for one that was."""
    known: dict[ItemId, bytes] = {}
    for change in changes_so_far(settings, say):
        known[change.id] = REMOVED if change.item is None else digest(change.item)
    return known

"""Makes of a misplaced record the one that the worker writes to the right partition (law 1).

The copy has the same key, value and headers, so the same event id. It stands where murmur2 puts its
key, so it is never forwarded again. The outbox delivers it at least once; the owner of the right
partition drops a repeated one by its id.
"""

from __future__ import annotations

from everfresh.contracts.topics import EVENTS
from everfresh.streaming.log.records import Record
from everfresh.streaming.outbox.rows import OutboxRow

_ENVELOPE_BYTES = 4096  # key and headers of an ordinary event are far shorter


def forwarded(record: Record, partition: int, max_bytes: int) -> OutboxRow | None:
    """The record to write to ``partition``; ``None`` for one that the topic might not take.

    ``max_bytes`` is the longest accepted value. Only a compressed batch can bring in longer ones.
    """
    headers = [(name, content or b"") for name, content in record.headers]
    frame = len(record.key or b"") + sum(len(name) * 4 + len(content) for name, content in headers)
    if frame > _ENVELOPE_BYTES or len(record.value or b"") > max_bytes:
        return None
    return OutboxRow(EVENTS.name, partition, record.key, record.value, headers)

"""Reading a user's state by the key layout of ``contracts.sequence``, from wherever it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from kafka.partitioner import murmur2

from contracts.errors import StateFormatError
from contracts.event import UserId, user_key
from contracts.sequence import (
    FORMAT,
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    StoredSequence,
    encode_id,
)

Get = Callable[[bytes], bytes | None]
"""Looks one key up in one partition's state."""


def read_meta(get: Get) -> PartitionMeta | None:
    """What the partition says of itself; ``None`` before its first batch."""
    raw = get(META_KEY)
    if raw is None:
        return None
    try:
        meta = msgspec.msgpack.decode(raw, type=PartitionMeta)
    except msgspec.MsgspecError as error:
        raise StateFormatError(f"the state's own description cannot be read: {error}") from None
    if meta.format != FORMAT:
        raise StateFormatError(f"state format {FORMAT} expected, found {meta.format}")
    return meta


def stored_user(get: Get, partition: int, user: UserId, length: int) -> StoredSequence | None:
    """The user's sequence as this partition holds it, of which ``length`` entries are in use.

    The value is read before the action table: tables only grow at the end, so a table that is
    newer than the value decodes it.
    """
    raw = get(USER_PREFIX + encode_id(user))
    if raw is None:
        return None
    meta = read_meta(get)
    if meta is None:
        raise StateFormatError(f"partition {partition} holds users and no action table")
    return StoredSequence(user, partition, raw, meta.actions, length)


def by_likelihood(user: UserId, partitions: Sequence[int]) -> list[int]:
    """``partitions`` with the one that Kafka's default partitioner picks for the user first.

    Only the order depends on it: another consistent partitioner costs a few look-ups more.
    """
    if not partitions:
        return []
    likely = (murmur2(user_key(user)) & 0x7FFFFFFF) % (max(partitions) + 1)
    return sorted(partitions, key=lambda partition: partition != likely)

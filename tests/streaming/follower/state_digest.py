"""What two holders of a partition must have in common at the same offset, as one digest.

Compared are, as every reader puts them together from values and segments:

- of each user the number of accepted events, the offset of the last one, and the entries in use
  (the last ``history_length``), byte for byte;
- the offset that the state reaches, the log it is of, and the action table;
- the ids that are remembered, by generation, which decide what is accepted next.

Not compared: how events are spread over values and segments, which follows from fetches, and what
an owner alone has (open slice, outbox, join).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from everfresh.adapters.state.user_state import UserReader
from everfresh.contracts.segment import decode_runs, segment_key
from everfresh.contracts.sequence import (
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    decode_id,
    unpack_header,
)
from everfresh.streaming.state.key_layout import DEDUPLICATION_PREFIX


def state_digest(pairs: Mapping[bytes, bytes], length: int) -> str:
    """The digest of a state given as all its pairs."""
    digest = hashlib.sha256()
    for part in _parts(pairs, length):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _parts(pairs: Mapping[bytes, bytes], length: int) -> Iterator[bytes]:
    meta = msgspec.msgpack.decode(pairs[META_KEY], type=PartitionMeta)
    log = (meta.format, meta.cluster, meta.topic_id, meta.partition, meta.applied, meta.actions)
    yield msgspec.msgpack.encode(log)
    users = {key.removeprefix(USER_PREFIX) for key in pairs if key.startswith(USER_PREFIX)}
    for name in meta.segments:
        users |= set(decode_runs(pairs[segment_key(name)]))
    reader = UserReader(pairs.get, meta.partition, length)
    for user in sorted(users):
        stored = reader.stored(decode_id(user))
        assert stored is not None
        accepted, offset, _ = unpack_header(stored.raw)
        yield user
        yield msgspec.msgpack.encode((accepted, offset))
        yield stored.entries()
    for key in sorted(key for key in pairs if key.startswith(DEDUPLICATION_PREFIX)):
        generation = key[: len(DEDUPLICATION_PREFIX) + 8]
        for row in zip(*msgspec.msgpack.decode(pairs[key]), strict=True):
            yield generation + msgspec.msgpack.encode(row)

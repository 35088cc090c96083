"""Reads a user's state by the layout in ``contracts``, from any key-value store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import msgspec

from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.event import UserId, user_key
from everfresh.contracts.experiments.first_arm import FirstArm, decode_first_arms, first_arms_key
from everfresh.contracts.foreign import MAP, advice, newer
from everfresh.contracts.partitioning import murmur2
from everfresh.contracts.segment import decode_runs, first_offset, segment_key, split
from everfresh.contracts.sequence import (
    FORMAT,
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    StoredSequence,
    encode_id,
    grown,
    unpack_header,
)

Get = Callable[[bytes], bytes | None]
"""Looks one key up in one partition's state."""

_Runs = Mapping[bytes, bytes]
_ATTEMPTS = 8


def read_meta(get: Get) -> PartitionMeta | None:
    """The partition's description of its state; ``None`` before its first batch."""
    raw = get(META_KEY)
    if raw is None:
        return None
    try:
        meta = msgspec.msgpack.decode(raw, type=PartitionMeta)
    except msgspec.MsgspecError as error:
        why = newer(raw, (FORMAT,), MAP) or f"cannot be read: {error}"
        raise StateFormatError(f"the state's own description: {why}") from None
    if meta.format != FORMAT:
        older = "give worker and replicas of one machine one release"
        raise StateFormatError(
            f"state format {FORMAT} expected, found {meta.format}; "
            f"{advice(meta.format, (FORMAT,), older)}"
        )
    return meta


class UserReader:
    """Assembles users' states of one partition: sequence value, then the segments after it.

    Segments that were read are kept until the state no longer names them. ``revision``, where
    given, grows each time the values that ``get`` returns may have changed; the partition's
    description is then read once per revision. Thread-safe where ``get`` is.
    """

    def __init__(
        self, get: Get, partition: int, length: int, revision: Callable[[], int] | None = None
    ) -> None:
        self._get = get
        self._revision = revision
        self._described: tuple[int, PartitionMeta, list[_Runs]] | None = None
        self._partition = partition
        self._length = length
        self._log: tuple[str, str] | None = None
        self._indexes: dict[tuple[int, int], _Runs] = {}

    def meta(self) -> PartitionMeta | None:
        """The partition's description that :meth:`stored` goes by, from now on at least.

        What ``get`` returns may be ahead of it, while its owner is still catching up.
        """
        return self._meta_and_segments()[0]

    def stored(self, user: UserId) -> StoredSequence | None:
        """The user's sequence as this partition knows it, of which ``length`` entries are in use.

        The state may move on between two look-ups. Segments are read before the value, so nothing
        falls between them: what left the segments is in the value. Where a segment is gone, all
        is read once more.
        """
        encoded = encode_id(user)
        for _ in range(_ATTEMPTS):
            meta, indexes = self._meta_and_segments()
            if meta is not None and indexes is None:
                continue
            value = self._get(USER_PREFIX + encoded)
            if meta is None:
                if value is not None:
                    continue
                return None
            after = -1 if value is None else unpack_header(value)[1]
            # Tables only grow at the end: one that is newer than the value decodes it.
            actions = meta.actions if after < meta.applied else self._actions()
            runs = [index[encoded] for index in indexes or () if encoded in index]
            value = _assembled(value, b"".join(run for run in runs if first_offset(run) > after))
            if value is None:
                return None
            return StoredSequence(user, self._partition, value, actions, self._length)
        raise StateFormatError(
            f"the state of partition {self._partition} contradicts itself: it names segments that "
            "are not there, or holds users and no description; delete it to rebuild it"
        )

    def _meta_and_segments(self) -> tuple[PartitionMeta | None, list[_Runs] | None]:
        """The partition's description, and the segments it names: ``None`` where one is gone."""
        revision, described = 0 if self._revision is None else self._revision(), self._described
        if described is not None and described[0] == revision:
            return described[1], described[2]
        meta = read_meta(self._get)
        indexes = None if meta is None else self._segments(meta)
        if self._revision is not None and meta is not None and indexes is not None:
            # Under the revision from before: a change during these look-ups raises it.
            self._described = (revision, meta, indexes)
        return meta, indexes

    def _actions(self) -> list[str]:
        meta = read_meta(self._get)
        return [] if meta is None else meta.actions

    def _segments(self, meta: PartitionMeta) -> list[_Runs] | None:
        """The segments that ``meta`` names, ``None`` where one is gone."""
        log = (meta.cluster, meta.topic_id)
        known = self._indexes if log == self._log else {}
        indexes: dict[tuple[int, int], _Runs] = {}
        for name in meta.segments:
            index = known.get(name)
            if index is None:
                raw = self._get(segment_key(name))
                if raw is None:
                    return None
                index = decode_runs(raw)
            indexes[name] = index
        # Replaced as a whole: another thread that reads sees the old table or the new one.
        self._indexes, self._log = indexes, log
        return list(indexes.values())


def first_arms_of(user: UserId, partitions: Mapping[int, Get]) -> dict[str, FirstArm] | None:
    """The user's first arms by experiment; ``None`` where no partition is here, or what stands
    there cannot be read."""
    if not partitions:
        return None
    key = first_arms_key(user)
    try:
        for number in by_likelihood(user, sorted(partitions)):
            if (raw := partitions[number](key)) is not None:
                return {each.experiment: each for each in decode_first_arms(raw)}
    except Exception:  # what the library behind it raises; the answer itself will say why
        return None
    return {}


def _assembled(value: bytes | None, run: bytes) -> bytes | None:
    if not run:
        return value
    entries, offsets, _ = split(run)
    stored = 0 if value is None else unpack_header(value)[2]
    return grown(value, entries, len(offsets), offsets[-1], stored + len(offsets))


def by_likelihood(user: UserId, partitions: Sequence[int]) -> list[int]:
    """``partitions`` with the one that Kafka's default partitioner picks for the user first.

    Only the order depends on it: another consistent partitioner costs a few look-ups more.
    """
    if not partitions:
        return []
    likely = own_partition(user, max(partitions) + 1)
    return sorted(partitions, key=lambda partition: partition != likely)


def own_partition(user: UserId, partitions: int) -> int:
    """The partition, of so many, that Kafka's default partitioner picks for the user."""
    return _hash(user) % partitions


@functools.lru_cache(maxsize=1 << 14)
def _hash(user: UserId) -> int:
    return murmur2(user_key(user)) & 0x7FFFFFFF

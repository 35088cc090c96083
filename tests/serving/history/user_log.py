"""One user's state as the worker writes it, and versions to read it with."""

from __future__ import annotations

import numpy as np

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.errors import StateError
from everfresh.contracts.sequence import (
    HEADER_BYTES,
    StoredSequence,
    UserState,
    encode_entry,
    pack_sequence,
    skip_entries,
    unpack_header,
)
from everfresh.serving.history.reader import UserHistory
from everfresh.serving.versions.holder import LoadedVersion
from tests.serving.replica_in_memory import ACTIONS, ITEMS, MODEL, PARTITION, publish, recommender

STORE = MemoryWeightStore()
CAPACITY = MODEL.max_length - 1
NO_CACHE = 0


def loaded_version(version: int) -> LoadedVersion:
    """That version as a replica has it; its seed is its number."""
    if version not in STORE.versions():
        publish(STORE, version, epoch=version)
    return LoadedVersion(version, 0, recommender(version), STORE.manifest(version), 0)


V1, V2, V3 = loaded_version(1), loaded_version(2), loaded_version(3)


class UserLog:
    """One user's state as the worker writes it: appended to, trimmed at the front."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.raw: bytes | None = None
        self.broken = False
        self._next = 0

    def append(self, items: list[int], spare: int = 0) -> None:
        """Further events; of all of them the last ``length + spare`` are kept."""
        at = range(self._next, self._next + len(items))
        self._next += len(items)
        pairs = zip(items, at, strict=True)
        blob = b"".join(encode_entry(ITEMS[i - 1], 0, 60_000 * t * t, None) for i, t in pairs)
        accepted, _, count = (0, 0, 0) if self.raw is None else unpack_header(self.raw)
        held = b"" if self.raw is None else self.raw[HEADER_BYTES:]
        surplus = max(0, count + len(items) - self.length - spare)
        kept = held + blob
        body = kept[skip_entries(kept, 0, surplus) :]
        number = count + len(items) - surplus
        self.raw = pack_sequence(accepted + len(items), self._next - 1, number, body)

    def stored(self, user: int | str) -> StoredSequence | None:
        if self.broken:
            raise StateError("the state directory cannot be read")
        if self.raw is None:
            return None
        return StoredSequence(user, PARTITION, self.raw, ACTIONS, self.length)

    def read(self, user: int | str) -> UserState | None:
        stored = self.stored(user)
        return None if stored is None else stored.decode()


def assert_same(read: UserHistory, wanted: UserHistory) -> None:
    """Equal, vectors to within rounding."""
    for field in ("partition", "offset", "request_events"):
        assert getattr(read, field) == getattr(wanted, field)
    assert np.array_equal(read.rows, wanted.rows)
    assert (read.vector is None) == (wanted.vector is None)
    if read.vector is not None and wanted.vector is not None:
        np.testing.assert_allclose(read.vector, wanted.vector, atol=2e-5, rtol=1e-4)

"""Remembers which events were accepted lately, so that one sent again is not applied again.

Two events are the same where user and id are. How many are remembered is bounded, and follows from
the log alone: accepted events are counted in generations of ``limit``. Those of the present and of
the former generation are remembered: at least the last ``limit`` of a partition, at most twice as
many. How the log was cut into fetches leaves no trace.

In memory stands a 64-bit hash of each id. As long as the hashes of a fetch are new, so are its
events: that is a pass over a set. Where one is not, all that is remembered is read back, and user
and id decide, until the generation is over; so a hash that two ids share costs time and no event.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

from everfresh.contracts.event import UserId
from everfresh.streaming.state.key_layout import DEDUPLICATION_PREFIX
from everfresh.streaming.state.store import ReadMany
from everfresh.streaming.state.write_batch import WriteBatch

Ids = tuple[list[UserId], list[str]]
"""Users and ids of some events, in log order."""

# State keys: prefix, generation, first offset, the latter two big-endian.
_KEY = struct.Struct(">QQ")
_encode = msgspec.msgpack.Encoder().encode
_decode: msgspec.msgpack.Decoder[Ids] = msgspec.msgpack.Decoder(Ids)


class RecentIds:
    """What one partition remembers. ``read`` looks up rows, those about to be written included."""

    def __init__(self, limit: int, read: ReadMany) -> None:
        self._limit = limit
        self._read = read
        self._generation = 0
        self._count = 0
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._young_keys: list[bytes] = []
        self._old_keys: list[bytes] = []
        self._exact: set[tuple[UserId, str]] | None = None

    def restore(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Take up what the state holds, in key order."""
        for key, raw in rows:
            generation, _ = _KEY.unpack_from(key, len(DEDUPLICATION_PREFIX))
            if generation != self._generation:
                self._next_generation()
                self._generation = generation
            _, names = _decode.decode(raw)
            self._young_keys.append(key)
            self._young.update(map(hash, names))
            self._count += len(names)

    def room(self, batch: WriteBatch) -> int:
        """How many events may be added before the next call; at least one."""
        if self._count >= self._limit:
            for key in self._old_keys:
                batch.delete(key)
            self._next_generation()
            self._generation += 1
        return self._limit - self._count

    def add(self, ids: Ids) -> set[int]:
        """Remember these; the positions of those that are known already.

        All others are to be written by :meth:`put`.
        """
        known: set[int] = set()
        number, hashes = len(ids[1]), list(map(hash, ids[1]))
        grown = len(self._young) + number
        self._young.update(hashes)
        fresh = len(self._young) == grown and self._old.isdisjoint(hashes)
        if not fresh and self._exact is None:
            self._exact = set(self._pairs())
        if self._exact is not None:
            known = _known(self._exact, ids)
        self._count += number - len(known)
        return known

    def put(self, ids: Ids, first: int, batch: WriteBatch) -> None:
        """Write down what was added; ``first`` is an offset that names it."""
        key = DEDUPLICATION_PREFIX + _KEY.pack(self._generation, first)
        batch.puts[key] = _encode(ids)
        self._young_keys.append(key)

    def _next_generation(self) -> None:
        self._old, self._young = self._young, set()
        self._old_keys, self._young_keys = self._young_keys, []
        self._count, self._exact = 0, None

    def _pairs(self) -> Iterator[tuple[UserId, str]]:
        for raw in self._read([*self._old_keys, *self._young_keys]):
            yield from zip(*_decode.decode(raw or b""), strict=True)


def _known(exact: set[tuple[UserId, str]], ids: Ids) -> set[int]:
    """The positions of those of ``ids`` that are in ``exact``; the others are put into it."""
    known: set[int] = set()
    for position, event in enumerate(zip(*ids, strict=True)):
        if event in exact:
            known.add(position)
        else:
            exact.add(event)
    return known

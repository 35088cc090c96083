"""What the live model must beat: popularity and the last item's followers, learnt by counting.

Both rank the whole catalogue they have counted, in a total order without ties: more counts first,
then (for followers) the more popular item, then the item that was sighted earlier. Used as test,
then train (law 4): ``ranks`` of a window first, ``update`` with it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.event import ItemId
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS, Ranks
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

_Followers = dict[int, dict[int, int]]
_DECODER = msgspec.msgpack.Decoder(tuple[bytes, _Followers])


class _Order(Protocol):
    def rank(self, last: int, target: int, seen: set[int]) -> int:
        """Rank of row ``target`` after row ``last``, among the rows outside ``seen``."""


def _ranks(
    order: _Order, vocabulary: Vocabulary, examples: Sequence[DecodedExample], exclude_seen: bool
) -> Ranks:
    out: list[int] = []
    for example in examples:
        known = [vocabulary.row(entry.item) for entry in example.context]
        last = known[-1] if known else UNKNOWN
        seen = set(known) - {UNKNOWN} if exclude_seen else set()
        for target in example.targets:
            row = vocabulary.row(target.item)
            ranked = row != UNKNOWN and row not in seen
            out.append(order.rank(last, row, seen) if ranked else MISS)
            if exclude_seen and row != UNKNOWN:
                seen.add(row)
            last = row
    return np.asarray(out, dtype=np.int64)


class _Popular:
    """Places of all rows by sightings; a snapshot of the vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        rows = vocabulary.by_popularity()
        self.place: npt.NDArray[np.int64] = np.zeros(vocabulary.rows, dtype=np.int64)
        self.place[rows] = np.arange(1, len(rows) + 1)

    def rank(self, last: int, target: int, seen: set[int]) -> int:
        del last
        mine = int(self.place[target])
        if not seen:
            return mine
        rows = np.fromiter(seen, dtype=np.int64, count=len(seen))
        return mine - int(np.count_nonzero(self.place[rows] < mine))


class _Following:
    """Followers of the last item by count, then everything else by popularity."""

    def __init__(self, followers: _Followers, popular: _Popular) -> None:
        self._followers = followers
        self._popular = popular

    def rank(self, last: int, target: int, seen: set[int]) -> int:
        counts = self._followers.get(last, {})
        place = self._popular.place
        if target not in counts:
            ahead = counts.keys() - seen
            return len(ahead) + self._popular.rank(last, target, seen | ahead)
        mine = (-counts[target], place[target])
        return 1 + sum(
            1 for row, n in counts.items() if (-n, place[row]) < mine and row not in seen
        )


def _count(
    vocabulary: Vocabulary, examples: Sequence[DecodedExample], label: int, limits: Limits | None
) -> set[int]:
    """The rows that made room."""
    items, users = sighted(examples)
    vocabulary.admit(items, label, users, limits)
    return set(vocabulary.expire(0, limits))


class Popularity:
    """Ranks items by how often they were seen in all windows so far."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()

    def ranks(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> Ranks:
        """One rank per target, in order of the examples and of their targets."""
        order = _Popular(self._vocabulary)
        return _ranks(order, self._vocabulary, examples, exclude_seen)

    def update(
        self, examples: Sequence[DecodedExample], label: int = 0, limits: Limits | None = None
    ) -> None:
        """Count every target of window ``label`` once."""
        _count(self._vocabulary, examples, label, limits)

    def encode(self) -> bytes:
        """Deterministic bytes for the checkpoint."""
        return self._vocabulary.encode()

    @classmethod
    def decode(cls, raw: bytes) -> Popularity:
        """The inverse of :meth:`encode`; ``CorruptVersion`` on foreign bytes."""
        popularity = cls()
        popularity._vocabulary = Vocabulary.decode(raw)
        return popularity


class LastItemMarkov:
    """Ranks items by how often they directly followed the user's last item, whoever the user."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._followers: _Followers = {}

    def ranks(self, examples: Sequence[DecodedExample], exclude_seen: bool) -> Ranks:
        """One rank per target, each given the user's true previous item."""
        order = _Following(self._followers, _Popular(self._vocabulary))
        return _ranks(order, self._vocabulary, examples, exclude_seen)

    def update(
        self, examples: Sequence[DecodedExample], label: int = 0, limits: Limits | None = None
    ) -> None:
        """Count every target once, as an item and as a follower of the one before it."""
        before = self._known_before(examples)
        if freed := _count(self._vocabulary, examples, label, limits):
            self._forget(freed)
        for example, item in zip(examples, before, strict=True):
            last = UNKNOWN if item is None else self._vocabulary.row(item)
            for target in example.targets:
                row = self._vocabulary.row(target.item)
                if UNKNOWN not in (last, row):
                    counts = self._followers.setdefault(last, {})
                    counts[row] = counts.get(row, 0) + 1
                last = row

    def _known_before(self, examples: Sequence[DecodedExample]) -> list[ItemId | None]:
        """Each example's item before its targets, where it was a target in its turn."""
        met: set[ItemId] = set()
        items: list[ItemId | None] = []
        for example in examples:
            item = example.context[-1].item if example.context else None
            known = item is not None and (item in self._vocabulary or item in met)
            items.append(item if known else None)
            met.update(target.item for target in example.targets)
        return items

    def _forget(self, rows: set[int]) -> None:
        for row in rows:
            self._followers.pop(row, None)
        for counts in self._followers.values():
            for row in counts.keys() & rows:
                del counts[row]

    def encode(self) -> bytes:
        """Deterministic bytes for the checkpoint."""
        return msgspec.msgpack.encode((self._vocabulary.encode(), self._followers))

    @classmethod
    def decode(cls, raw: bytes) -> LastItemMarkov:
        """The inverse of :meth:`encode`; ``CorruptVersion`` on foreign bytes."""
        try:
            words, followers = _DECODER.decode(raw)
        except msgspec.MsgspecError as error:
            raise CorruptVersion(
                f"last-item counts were expected, found other bytes ({error}); take another version"
            ) from None
        markov = cls()
        markov._vocabulary = Vocabulary.decode(words)
        markov._followers = followers
        return markov

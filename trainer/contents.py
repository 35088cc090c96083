"""What is known of items by their records, as training uses it: read from the topic ``items``.

A window knows the records that were appended before its end, and no later ones. So what it learns
follows from the log (law 5), for as long as the topic has those records: a record that has been
replaced since, and compacted away, is known no more.
"""

from __future__ import annotations

import heapq
import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice, takewhile

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.ports import ItemSource
from everfresh.contracts.settings import Settings
from everfresh.model.content.features import Features, features_of

_LOG = logging.getLogger("everfresh.trainer")
_SAID_S = 5.0
_EVER = -1


class _Entry(msgspec.Struct):
    """Known to windows that end after ``since``, in ms: no record before it in the log was appended
    later. It is record ``number`` of those read. ``features`` are ``None`` of a removed item."""

    since: int
    number: int
    features: Features | None
    begins: int
    ends: float
    before: _Entry | None = None


class ItemContents:
    """For one thread. All tracks share one, each at its own place in the log.

    ``open_source`` gives a source from an offset on; the first reading takes the whole topic. An
    item costs some 400 bytes; ``items.most`` bounds them. For tracks that are behind, the record
    before an item's last one is kept too, and none before that.
    """

    def __init__(self, open_source: Callable[[int], ItemSource], settings: Settings) -> None:
        self._open_source = open_source
        self._settings = settings.items
        self._period_ms = settings.windows.seconds * 1000
        self._source: ItemSource | None = None
        self._end = 0
        self._read_to = _EVER
        self._since = 0
        self._number = 0
        self._entries: dict[ItemId, _Entry] = {}
        self._odd = False
        self._length = 0

    def close(self) -> None:
        """End the connection."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def at_end_of(self, label: int) -> KnownContents:
        """What is known at the end of this window. Raises what reading raises."""
        until_ms = math.ceil((label + 1) * self._period_ms)
        if until_ms > self._read_to and self._settings.cold:
            try:
                self._read(until_ms)
            except BaseException:
                self.close()
                raise
        return KnownContents(self._entries, until_ms, self._settings.cold)

    def _read(self, until_ms: int) -> None:
        if self._source is None:
            self._source = self._open_source(self._end)
        source = self._source
        said = time.monotonic()
        for changes in source.read_to_end(until_ms):
            for change in changes:
                self._take(change)
            self._end = source.end
            if time.monotonic() - said > _SAID_S:
                said = time.monotonic()
                _LOG.info("the catalogue is read: %s of %s", source.end, source.goal)
        self._end, self._read_to = source.end, until_ms

    def _take(self, change: ItemChange) -> None:
        self._since, self._number = max(self._since, change.appended), self._number + 1
        # Taken out and put in again: the newest records are the last ones.
        before = self._entries.pop(change.id, None)
        if before is None and len(self._entries) >= self._settings.most:
            return
        if before is not None and self._label(before.since) == self._label(self._since):
            before = before.before  # it was there for no window
        elif before is not None:
            before.before = None
        entry = _Entry(self._since, self._number, None, 0, 0.0, before)
        if change.item is not None:
            item = change.item
            entry.features = features_of(item)
            self._say_odd(change.id, entry.features.length)
            entry.begins = item.published or 0
            entry.ends = float("inf") if item.expires is None else float(item.expires)
            if not item.available:
                entry.ends = 0.0
        self._entries[change.id] = entry

    def _label(self, ms: int) -> int:
        """Of the first window that knows a record of then."""
        return int(ms // self._period_ms)

    def _say_odd(self, item: ItemId, length: int) -> None:
        """Embeddings of two lengths cannot be compared: say so, once."""
        if not length or self._odd:
            return
        self._length = self._length or length
        if length != self._length:
            self._odd = True
            _LOG.warning(
                "item %r has an embedding of %s numbers, those before had %s; embeddings of one "
                "length count, those of most items: load the others again",
                item,
                length,
                self._length,
            )


def _number(known: tuple[ItemId, _Entry]) -> int:
    return known[1].number


class KnownContents:
    """The contents of items as a window knows them."""

    def __init__(self, entries: dict[ItemId, _Entry], until_ms: int, most: int) -> None:
        self._entries = entries
        self._until_ms = until_ms
        self._most = most

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, item: ItemId) -> Features | None:
        """What is known of an item; ``None`` where nothing is."""
        entry = self._known(self._entries.get(item))
        return None if entry is None else entry.features

    @cached_property
    def newest(self) -> dict[ItemId, Features]:
        """Of the newest records, ``items.cold`` of them, those that may be shown; newest first."""
        found: dict[ItemId, Features] = {}
        for item, entry in islice(self._in_order(), self._most):
            if entry.features is not None and entry.begins < self._until_ms <= entry.ends:
                found[item] = entry.features
        return found

    def _in_order(self) -> Iterator[tuple[ItemId, _Entry]]:
        """What is known of each item, newest first, whatever is known of it since."""
        entries = self._entries.items()
        later = takewhile(lambda each: each[1].since >= self._until_ms, reversed(entries))
        then = [(item, self._known(entry.before)) for item, entry in later]
        replaced = [(item, entry) for item, entry in then if entry is not None]
        replaced.sort(key=_number, reverse=True)
        others = islice(reversed(entries), len(then), None)
        return heapq.merge(replaced, others, key=_number, reverse=True)

    def _known(self, entry: _Entry | None) -> _Entry | None:
        while entry is not None and entry.since >= self._until_ms:
            entry = entry.before
        return entry


UNKNOWN = KnownContents({}, 0, 0)
"""Where there is no catalogue."""

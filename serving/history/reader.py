"""Reads a user's history with a version: from the state, through the cache, extended by new events.

What a version computed of a history belongs to that version (law 7): another one reads the history
from its beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec
import numpy as np

from everfresh.contracts.errors import StateError
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.ports import HistoryReader
from everfresh.contracts.sequence import Interaction, StoredSequence, continued_at, decode_items
from everfresh.model.inference.incremental import Codes, HistoryStates, window_begin
from everfresh.model.inference.retrieval import UserVector
from everfresh.model.network.batches import encode_entries, encode_events
from everfresh.model.recommender import Recommender
from everfresh.serving.history.cached_history import (
    CachedHistory,
    begin_of,
    build,
    build_batched,
    capacity,
)
from everfresh.serving.history.request_events import fresh_events
from everfresh.serving.history.user_cache import UserCache
from everfresh.serving.tail.kept_up import Trending
from everfresh.serving.versions.holder import LoadedVersion

_LOG = logging.getLogger(__name__)
_PREFETCH_S = 0.3
"""How long a version waits to go live for histories to be read."""
_PREFETCH_TOKENS = 800
"""Tokens that are read ahead at once, padding included: larger runs cost as much for each."""
_REST_S = 0.003
"""Between two such runs: requests, and whatever brings them, get the processor then."""


class UserHistory(msgspec.Struct, frozen=True):
    """A user's history as one version reads it.

    ``partition`` and ``offset`` name the last event of the state, ``None`` without state.
    ``request_events`` is the number of the request's own events that were used besides. ``rows``
    are the rows of all its items, in order, and ``at`` is the time of the last event in UTC
    seconds, 0 for none. ``vector`` is the user vector ``(dim,)``; ``None``
    where the version knows none of the items. ``named`` gives the ids of all of them, also of
    those without a row. ``trending`` are the version's trends as they were kept up at that moment,
    if they are; an answer uses no others.
    """

    partition: int | None
    offset: int | None
    request_events: int
    rows: Codes
    vector: UserVector | None
    named: Callable[[], list[ItemId]] = list
    trending: Trending | None = None
    at: int = 0


class CacheFigures(msgspec.Struct):
    """Counts since the start: histories used as they were, extended, and read from the beginning.

    ``prepared`` are those that had been read before their version was live.
    """

    hits: int = 0
    prepared: int = 0
    extended: int = 0
    built: int = 0
    users: int = 0
    bytes: int = 0


class CachedHistoryReader:
    """Reads histories through the user cache. Thread-safe; it works on one history at a time."""

    def __init__(self, reader: HistoryReader, cache_bytes: int, ahead: int = 0) -> None:
        self._reader = reader
        self._limits = cache_bytes, ahead
        self._users_ahead = ahead
        self._prefetched: dict[UserId, CachedHistory] = {}
        self._cache: UserCache[CachedHistory] = UserCache(cache_bytes)
        self._lock = threading.Lock()
        self._figures = CacheFigures()

    def read(
        self, loaded: LoadedVersion, user: UserId, events: Sequence[Interaction] = ()
    ) -> UserHistory:
        """The user's history as ``loaded`` reads it; ``events`` come after what the state holds.

        An event that the state already holds (same item, type, time and value) counts once.
        Raises what the reader raises: ``StateError``.
        """
        stored = self._reader.stored(user)
        recommender = loaded.recommender
        if stored is None:
            codes = encode_events(events, recommender.vocabulary)
            vector = _vector(recommender, codes, 0, len(events)) if codes[0].any() else None
            named = partial(_named, None, events)
            kept_up = loaded.kept_up
            return UserHistory(
                None, None, len(events), codes[0], vector, named, kept_up, _at(codes)
            )
        fresh = fresh_events(stored, events)
        with self._lock:
            cached = self._refreshed(loaded, user, stored)
            if not fresh:
                codes, vector = cached.codes, cached.vector
            else:
                codes, vector = self._continued_by(recommender, cached, fresh, stored.length)
            named = partial(_named, stored, fresh)
            return UserHistory(
                cached.partition,
                cached.offset,
                len(fresh),
                codes[0],
                vector,
                named,
                loaded.kept_up,
                _at(codes),
            )

    def beside(self) -> CachedHistoryReader:
        """Another reader of the same state, with a cache of its own: versions of two tracks may
        have one number."""
        return CachedHistoryReader(self._reader, *self._limits)

    def prefetch(self, loaded: LoadedVersion) -> None:
        """Read with ``loaded``, before it is live, the histories that were asked for last.

        Else its first answers would all be slow at once. It reads at most ``ahead`` users, the
        newest first, for as long as a version may wait. It is called beside requests, none of which
        waits for it. Where the state cannot be read the version goes live all the same, and each
        history is read by its first request.
        """
        with self._lock:
            users = self._cache.newest(self._users_ahead)
        prefetched: dict[UserId, CachedHistory] = {}
        try:
            for group in self._groups(loaded, users):
                build_batched(list(group.values()), loaded.recommender)
                prefetched |= group
        except StateError as error:
            read, asked = len(prefetched), len(users)
            _LOG.warning("%d histories of %d were read ahead: %s", read, asked, error)
        with self._lock:
            self._prefetched = prefetched

    def _groups(
        self, loaded: LoadedVersion, users: Sequence[UserId]
    ) -> Iterator[dict[UserId, CachedHistory]]:
        """Histories to read at once, as long as a version may wait, with a rest after each."""
        until = time.monotonic() + _PREFETCH_S
        group: dict[UserId, CachedHistory] = {}
        for user in users:
            if time.monotonic() > until:
                break
            stored = self._reader.stored(user)
            if stored is None:
                continue
            unread = CachedHistory(stored, loaded)
            longest = max(history.tokens for history in (unread, *group.values()))
            if group and (len(group) + 1) * longest > _PREFETCH_TOKENS:
                yield group
                time.sleep(_REST_S)
                group = {}
            group[user] = unread
        if group:
            yield group

    def figures(self) -> CacheFigures:
        """What the cache has done so far, and holds."""
        with self._lock:
            return msgspec.structs.replace(
                self._figures, users=len(self._cache), bytes=self._cache.bytes
            )

    def _refreshed(
        self, loaded: LoadedVersion, user: UserId, stored: StoredSequence
    ) -> CachedHistory:
        """The user's history at ``stored``, from the cache as far as it reaches, and kept there."""
        cached = self._cache.get(user)
        prefetched = self._prefetched.get(user)
        if prefetched is not None and prefetched.version == loaded.version:
            cached = self._prefetched.pop(user)
            self._figures.prepared += 1
            self._cache.put(user, cached)
        if cached is not None and cached.version == loaded.version and cached.raw == stored.raw:
            self._figures.hits += 1
            return cached
        current = None if cached is None else self._continued(loaded, cached, stored)
        if current is None:
            self._figures.built += 1
            current = CachedHistory(stored, loaded)
            build(current, loaded.recommender, stored.length)
        self._cache.put(user, current)
        return current

    def _continued(
        self, loaded: LoadedVersion, cached: CachedHistory, stored: StoredSequence
    ) -> CachedHistory | None:
        """``cached`` brought up to ``stored``; ``None`` where that must be read from the start."""
        if cached.version != loaded.version or cached.partition != stored.partition:
            return None
        at = continued_at(cached.raw, stored.raw)
        if at is None:
            return None
        fresh = stored.raw[at:]
        codes = encode_entries(fresh, stored.actions, loaded.recommender.vocabulary)
        cached.move(stored, np.concatenate([cached.codes, codes], axis=1))
        begin = begin_of(cached, stored.length, loaded.recommender.settings)
        if cached.states is None or begin != cached.begin:
            self._figures.built += 1
            build(cached, loaded.recommender, stored.length)
        elif fresh:
            self._figures.extended += 1
            cached.vector = cached.states.extend(loaded.recommender.network, codes).numpy()
        else:  # the worker has dropped old events that the network did not see any more
            self._figures.hits += 1
        return cached

    def _continued_by(
        self,
        recommender: Recommender,
        cached: CachedHistory,
        events: Sequence[Interaction],
        length: int,
    ) -> tuple[Codes, UserVector | None]:
        """Codes and vector with ``events`` after the history, which itself stays as it is."""
        codes = encode_events(events, recommender.vocabulary)
        joined = np.concatenate([cached.codes, codes], axis=1)
        number = cached.number + len(events)
        begin = window_begin(number, capacity(recommender.settings, length))
        if cached.states is not None and max(begin, cached.begin) == cached.begin:
            return joined, cached.states.peek(recommender.network, codes).numpy()
        if not joined[0].any():
            return joined, None
        return joined, _vector(recommender, joined, number - joined.shape[1], length)


def _at(codes: Codes) -> int:
    return int(codes[3, -1]) if codes.shape[1] else 0


def _named(stored: StoredSequence | None, events: Sequence[Interaction]) -> list[ItemId]:
    known = list[ItemId]() if stored is None else decode_items(stored.entries())
    return [*known, *(event.item for event in events)]


def _vector(recommender: Recommender, codes: Codes, first: int, length: int) -> UserVector:
    """The vector of ``codes``, whose first event has number ``first``, without keeping anything."""
    number = first + codes.shape[1]
    begin = max(first, window_begin(number, capacity(recommender.settings, length)))
    states = HistoryStates(recommender.settings.max_length)
    return states.extend(recommender.network, codes[:, begin - first :]).numpy()

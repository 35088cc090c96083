"""What a version makes of a user's past: read from the state, kept between requests, extended.

The states of a past belong to the version that made them (law 7). With ``reuse_versions`` above 0
an older version's may be extended by a newer one for so many versions; the answer then names both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec
import numpy as np
from torch import Tensor

from contracts.event import UserId
from contracts.ports import HistoryReader
from contracts.sequence import (
    Interaction,
    StoredSequence,
    continued_at,
    decode_entries,
    encode_entry,
)
from model.batches import encode_events
from model.incremental import Codes, window_begin
from model.recommender import Recommender
from model.together import AT_ONCE
from serving.cache import UserCache
from serving.kept import Kept, build, build_together, capacity, first_seen, move_on, vector_of
from serving.versions import Served

_REST_S = 0.003
"""Between pasts read ahead: requests, and whatever brings them, get the processor then."""
_TOGETHER_BYTES = AT_ONCE << 20
"""Of a cache that what is read together surely fits into."""


class Past(msgspec.Struct, frozen=True):
    """A user's past as one version reads it.

    ``partition`` and ``offset`` name the last event of the state, ``None`` without state.
    ``used`` is the number of the request's own events that were used besides. ``rows`` are the
    rows of all its items, in order. ``vector`` is the user vector ``(dim,)``; ``None`` where the
    version knows none of the items. ``version`` is the oldest version that read part of it.
    """

    partition: int | None
    offset: int | None
    used: int
    rows: Codes
    vector: Tensor | None
    version: int


class PastFigures(msgspec.Struct):
    """Counts since the start: pasts found as they were, extended, and read from their beginning.

    ``prepared`` are those that had been read before their version was live, ``together`` those
    that were built in one run with others.
    """

    hits: int = 0
    prepared: int = 0
    extended: int = 0
    built: int = 0
    together: int = 0
    users: int = 0
    bytes: int = 0


class PastReader:
    """Reads pasts through the user cache. Thread-safe; one past at a time is worked on."""

    def __init__(
        self, reader: HistoryReader, cache_bytes: int, reuse_versions: int = 0, ahead: int = 0
    ) -> None:
        self._reader = reader
        self._reuse = reuse_versions
        self._users_ahead = ahead
        self._cache_bytes = cache_bytes
        self._ready: dict[UserId, Kept] = {}
        self._cache: UserCache[Kept] = UserCache(cache_bytes)
        self._lock = threading.Lock()
        self._figures = PastFigures()

    def read(self, served: Served, user: UserId, events: Sequence[Interaction] = ()) -> Past:
        """The user's past as ``served`` reads it; ``events`` come after what the state holds.

        An event that the state already holds (same item, type, time and value) counts once.
        Raises what the reader raises: ``StateError``.
        """
        stored = self._reader.stored(user)
        recommender = served.recommender
        if stored is None:
            codes = encode_events(events, recommender.vocabulary)
            vector = vector_of(recommender, codes, 0, len(events)) if codes[0].any() else None
            return Past(None, None, len(events), codes[0], vector, served.version)
        fresh = [event for event in events if not _holds(stored, event)]
        with self._lock:
            kept = self._refreshed(served, user, stored)
            if not fresh:
                rows, vector = kept.codes[0], kept.vector
            else:
                rows, vector = self._ahead(recommender, kept, fresh, stored.length)
            return Past(kept.partition, kept.offset, len(fresh), rows, vector, kept.oldest)

    def prepare(self, served: Served) -> None:
        """Read as ``served`` does, before it is live, whom the last requests were for.

        Else its first answers would all be slow at once. At most ``ahead`` users; called beside
        requests, none of which waits for it. Raises what the reader raises: ``StateError``.
        """
        with self._lock:
            users = self._cache.newest(self._users_ahead)
        ready: dict[UserId, Kept] = {}
        for begin in range(0, len(users), AT_ONCE):
            ready |= self._built(served, users[begin : begin + AT_ONCE])
            time.sleep(_REST_S)
        with self._lock:
            self._ready = ready

    def is_new(self, served: Served, user: UserId) -> bool:
        """Whether the user's past would be read from its beginning, and could be kept till then."""
        if self._cache_bytes < _TOGETHER_BYTES:
            return False
        kept = self._ready.get(user) or self._cache.look(user)
        return kept is None or kept.version != served.version

    def read_together(self, served: Served, users: Sequence[UserId]) -> None:
        """Read the pasts of users who are about to ask in one run, and keep them until they do."""
        built = self._built(served, users)
        with self._lock:
            self._figures.built += len(built)
            self._figures.together += len(built)
            for user, kept in built.items():
                self._cache.put(user, kept)

    def _built(self, served: Served, users: Sequence[UserId]) -> dict[UserId, Kept]:
        """The pasts of those of them who have a state, from their beginning; nothing is kept."""
        found = {user: self._reader.stored(user) for user in users}
        built = {
            user: Kept(stored, served.version, served.recommender)
            for user, stored in found.items()
            if stored is not None
        }
        lengths = [stored.length for stored in found.values() if stored is not None]
        build_together(list(built.values()), served.recommender, lengths)
        return built

    def figures(self) -> PastFigures:
        """What the cache has done so far, and holds."""
        with self._lock:
            return msgspec.structs.replace(
                self._figures, users=len(self._cache), bytes=self._cache.bytes
            )

    def _refreshed(self, served: Served, user: UserId, stored: StoredSequence) -> Kept:
        kept = self._cache.get(user)
        ready = self._ready.get(user)
        if ready is not None and ready.version == served.version:
            kept = self._ready.pop(user)
            self._figures.prepared += 1
            self._cache.put(user, kept)
        if kept is not None and kept.version == served.version and kept.raw == stored.raw:
            self._figures.hits += 1
            return kept
        found = None if kept is None else self._continued(served, kept, stored)
        if found is None:
            self._figures.built += 1
            found = Kept(stored, served.version, served.recommender)
            build(found, served.recommender, stored.length)
        self._cache.put(user, found)
        return found

    def _continued(self, served: Served, kept: Kept, stored: StoredSequence) -> Kept | None:
        """``kept`` brought up to ``stored``; ``None`` where it must be read from the beginning."""
        at = None if kept.partition != stored.partition else continued_at(kept.raw, stored.raw)
        if at is None:
            return None
        if kept.version == served.version:
            return self._extended(served, kept, stored, at)
        if 0 < served.version - kept.oldest <= self._reuse:
            return self._handed_over(served, kept, stored)
        return None

    def _extended(self, served: Served, kept: Kept, stored: StoredSequence, at: int) -> Kept:
        fresh = decode_entries(stored.raw[at:], stored.actions)
        codes = encode_events(fresh, served.recommender.vocabulary)
        move_on(kept, stored, np.concatenate([kept.codes, codes], axis=1))
        begin = first_seen(kept, stored.length, served.recommender.settings)
        if kept.states is None or begin != kept.begin:
            self._figures.built += 1
            build(kept, served.recommender, stored.length)
        elif fresh:
            self._figures.extended += 1
            kept.vector = kept.states.extend(served.recommender.network, codes)
        else:  # the worker has dropped old events that the network did not see any more
            self._figures.hits += 1
        return kept

    def _handed_over(self, served: Served, kept: Kept, stored: StoredSequence) -> Kept | None:
        """An older version's states under the live one, which reads the last old event anew."""
        recommender = served.recommender
        fits = kept.states is not None and kept.settings == recommender.settings
        found = Kept(stored, served.version, recommender)
        begin = first_seen(found, stored.length, recommender.settings)
        if not fits or begin != kept.begin or kept.states is None:
            return None
        self._figures.extended += 1
        found.oldest, found.begin = kept.oldest, begin
        found.states = kept.states.handed_over()
        found.vector = found.states.extend(recommender.network, found.window(kept.number - 1))
        return found

    def _ahead(
        self, recommender: Recommender, kept: Kept, events: Sequence[Interaction], length: int
    ) -> tuple[Codes, Tensor | None]:
        """Rows and vector with ``events`` after the past, which itself stays as it is."""
        codes = encode_events(events, recommender.vocabulary)
        whole = np.concatenate([kept.codes, codes], axis=1)
        number = kept.number + len(events)
        begin = window_begin(number, capacity(recommender.settings, length))
        if kept.states is not None and max(begin, kept.begin) == kept.begin:
            return whole[0], kept.states.peek(recommender.network, codes)
        if not whole[0].any():
            return whole[0], None
        return whole[0], vector_of(recommender, whole, number - whole.shape[1], length)


def _holds(stored: StoredSequence, event: Interaction) -> bool:
    if event.action not in stored.actions:
        return False
    code = stored.actions.index(event.action)
    return encode_entry(event.item, code, event.time, event.value) in stored.raw

"""What a version makes of a user's past: read from the state, kept between requests, extended.

The states of a past belong to the version that made them (law 7). With ``reuse_versions`` above 0
an older version's may be extended by a newer one for so many versions; the answer then names both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from torch import Tensor

from everfresh.contracts.errors import StateError
from everfresh.contracts.event import UserId
from everfresh.contracts.ports import HistoryReader
from everfresh.contracts.sequence import Interaction, StoredSequence, continued_at
from everfresh.model.inference.incremental import Codes, PastStates, window_begin
from everfresh.model.network.batches import encode_entries, encode_events
from everfresh.model.recommender import Recommender
from everfresh.serving.history.cache import UserCache
from everfresh.serving.history.cached_history import (
    KeptPast,
    begin_of,
    build,
    build_together,
    capacity,
)
from everfresh.serving.history.request_events import fresh_events
from everfresh.serving.versions.holder import Served

_LOG = logging.getLogger(__name__)
_AHEAD_S = 0.3
"""How long a version waits to go live for pasts to be read."""
_TOKENS = 800
"""Tokens that are read ahead at once, padding included: larger runs cost as much for each."""
_REST_S = 0.003
"""Between two such runs: requests, and whatever brings them, get the processor then."""


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

    ``prepared`` are those that had been read before their version was live.
    """

    hits: int = 0
    prepared: int = 0
    extended: int = 0
    built: int = 0
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
        self._ready: dict[UserId, KeptPast] = {}
        self._cache: UserCache[KeptPast] = UserCache(cache_bytes)
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
            vector = _vector(recommender, codes, 0, len(events)) if codes[0].any() else None
            return Past(None, None, len(events), codes[0], vector, served.version)
        fresh = fresh_events(stored, events)
        with self._lock:
            kept = self._refreshed(served, user, stored)
            if not fresh:
                rows, vector = kept.codes[0], kept.vector
            else:
                rows, vector = self._ahead(recommender, kept, fresh, stored.length)
            return Past(kept.partition, kept.offset, len(fresh), rows, vector, kept.oldest)

    def prepare(self, served: Served) -> None:
        """Read as ``served`` does, before it is live, whom the last requests were for.

        Else its first answers would all be slow at once. At most ``ahead`` users, the newest first,
        for as long as a version may wait; called beside requests, none of which waits for it. Where
        the state cannot be read the version goes live all the same, and each past is read by its
        first request.
        """
        with self._lock:
            users = self._cache.newest(self._users_ahead)
        ready: dict[UserId, KeptPast] = {}
        try:
            for group in self._groups(served, users):
                build_together(list(group.values()), served.recommender)
                ready |= group
        except StateError as error:
            _LOG.warning("%d pasts of %d were read ahead: %s", len(ready), len(users), error)
        with self._lock:
            self._ready = ready

    def _groups(self, served: Served, users: Sequence[UserId]) -> Iterator[dict[UserId, KeptPast]]:
        """Pasts to read at once, for as long as a version may wait, with a rest after each."""
        until = time.monotonic() + _AHEAD_S
        group: dict[UserId, KeptPast] = {}
        for user in users:
            if time.monotonic() > until:
                break
            stored = self._reader.stored(user)
            if stored is None:
                continue
            kept = KeptPast(stored, served)
            longest = max(one.tokens for one in (kept, *group.values()))
            if group and (len(group) + 1) * longest > _TOKENS:
                yield group
                time.sleep(_REST_S)
                group = {}
            group[user] = kept
        if group:
            yield group

    def figures(self) -> PastFigures:
        """What the cache has done so far, and holds."""
        with self._lock:
            return msgspec.structs.replace(
                self._figures, users=len(self._cache), bytes=self._cache.bytes
            )

    def _refreshed(self, served: Served, user: UserId, stored: StoredSequence) -> KeptPast:
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
            found = KeptPast(stored, served)
            build(found, served.recommender, stored.length)
        self._cache.put(user, found)
        return found

    def _continued(self, served: Served, kept: KeptPast, stored: StoredSequence) -> KeptPast | None:
        """``kept`` brought up to ``stored``; ``None`` where it must be read from the beginning."""
        at = None if kept.partition != stored.partition else continued_at(kept.raw, stored.raw)
        if at is None:
            return None
        if kept.version == served.version:
            return self._extended(served, kept, stored, at)
        # Of another epoch it may be of a version that was rolled back, no ancestor of the live one.
        if kept.epoch == served.epoch and 0 < served.version - kept.oldest <= self._reuse:
            return self._handed_over(served, kept, stored)
        return None

    def _extended(
        self, served: Served, kept: KeptPast, stored: StoredSequence, at: int
    ) -> KeptPast:
        fresh = stored.raw[at:]
        codes = encode_entries(fresh, stored.actions, served.recommender.vocabulary)
        kept.move(stored, np.concatenate([kept.codes, codes], axis=1))
        begin = begin_of(kept, stored.length, served.recommender.settings)
        if kept.states is None or begin != kept.begin:
            self._figures.built += 1
            build(kept, served.recommender, stored.length)
        elif fresh:
            self._figures.extended += 1
            kept.vector = kept.states.extend(served.recommender.network, codes)
        else:  # the worker has dropped old events that the network did not see any more
            self._figures.hits += 1
        return kept

    def _handed_over(
        self, served: Served, kept: KeptPast, stored: StoredSequence
    ) -> KeptPast | None:
        """An older version's states under the live one, which reads the last old event anew."""
        recommender = served.recommender
        fits = kept.states is not None and kept.settings == recommender.settings
        found = KeptPast(stored, served)
        begin = begin_of(found, stored.length, recommender.settings)
        if not fits or begin != kept.begin or kept.states is None:
            return None
        self._figures.extended += 1
        found.oldest, found.begin = kept.oldest, begin
        found.states = kept.states.handed_over()
        found.vector = found.states.extend(recommender.network, found.window(kept.number - 1))
        return found

    def _ahead(
        self, recommender: Recommender, kept: KeptPast, events: Sequence[Interaction], length: int
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
        return whole[0], _vector(recommender, whole, number - whole.shape[1], length)


def _vector(recommender: Recommender, codes: Codes, first: int, length: int) -> Tensor:
    """The vector of ``codes``, whose first event has number ``first``, without keeping anything."""
    number = first + codes.shape[1]
    begin = max(first, window_begin(number, capacity(recommender.settings, length)))
    states = PastStates(recommender.settings.max_length)
    return states.extend(recommender.network, codes[:, begin - first :])

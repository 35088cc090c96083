"""``RecentEvents`` from the segments of the state directories that a reader has open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from operator import itemgetter

from everfresh.adapters.state.user_state import Get, read_meta
from everfresh.contracts.event import ItemId
from everfresh.contracts.segment import RecentRun, decode_runs, segment_key, split
from everfresh.contracts.sequence import (
    HEADER_BYTES,
    USER_PREFIX,
    decode_entries,
    decode_items_and_times,
    entry_starts,
    skip_entries,
    unpack_header,
)
from everfresh.contracts.settings.refusals import Refusals

AT_ONCE = 4_096
"""Records after which a call ends; the next one goes on."""
MOST = 131_072
"""Records of a partition that a reader may be behind. Beyond it leaves the oldest out."""
_USERS = 32_768
"""Users of a partition whose last item is remembered; the state is asked for those of others."""
_Row = tuple[int, int, ItemId | None, ItemId | None, int, int]
"""Offset, append time, item unless it was refused, the item before, the event's own time, that of
the event before."""
_Before = tuple[ItemId | None, int | None]
"""The item before, and when; ``None`` for a time that cannot be told."""
_NOBODY: tuple[int, ItemId | None, int] = -1, None, 0
"""Of a user of whom nothing is remembered: an offset before all others, and nothing before."""
_UNTOLD: _Before = None, None


class RecentSegments:
    """``sources`` are the partitions whose state is here, and how each is looked up; what
    ``refusals`` are about is not told. Used by one thread; costs some microseconds for each
    event."""

    def __init__(
        self, sources: Callable[[], Mapping[int, Get]], refusals: Refusals | None = None
    ) -> None:
        self._sources = sources
        self._refusals = refusals or Refusals(())
        self._partitions: dict[int, _Partition] = {}

    def poll(self) -> Iterator[RecentRun]:
        """See the port."""
        left, failed = AT_ONCE, list[Exception]()
        for number, get in sorted(self._sources().items()):
            partition = self._partitions.setdefault(number, _Partition(number, self._refusals))
            try:
                for run in partition.read(get):
                    yield run
                    left -= run.end - run.begin
                    if left <= 0:
                        break
            except Exception as error:
                failed.append(error)
            if left <= 0:
                break
        if failed:
            raise failed[0]


class _Partition:
    """One partition: how far it was read, and the last items of the users that were met."""

    def __init__(self, number: int, refusals: Refusals) -> None:
        self._number = number
        self._refusals = refusals
        self._log: tuple[str, str] | None = None
        self._actions: list[str] = []
        self._may_be: list[bool] = []
        self._end = 0
        # What was remembered of before this offset may not be a user's last.
        self._unsure = 0
        self._last: OrderedDict[bytes, tuple[int, ItemId, int]] = OrderedDict()

    def read(self, get: Get) -> Iterator[RecentRun]:
        """What its segments hold that was not read yet, one by one."""
        meta = read_meta(get)
        if meta is None:
            return
        if self._log != (meta.cluster, meta.topic_id):
            self._log, self._end, self._unsure = (meta.cluster, meta.topic_id), 0, 0
            self._last.clear()
        self._actions = meta.actions
        self._may_be = [self._refusals.may_be(action) for action in meta.actions]
        for first, end in meta.segments:
            if end <= max(self._end, meta.applied - MOST):
                continue
            raw = get(segment_key((first, end)))
            if raw is None:  # it has left since; what follows is read by the next call
                return
            if first > self._end:
                self._unsure = first  # somebody may have had events in between
            begin = max(first, self._end)
            rows = sorted(self._rows(decode_runs(raw), begin, get), key=itemgetter(0))
            self._end = end
            yield RecentRun(self._number, begin, end, *_columns(rows))

    def _rows(self, runs: Mapping[bytes, bytes], begin: int, get: Get) -> Iterator[_Row]:
        for user, run in runs.items():
            entries, offsets, appended = split(run)
            items, times = decode_items_and_times(entries)
            if offsets[-1] < begin:
                continue
            fresh = next(at for at, offset in enumerate(offsets) if offset >= begin)
            before, earlier = (
                (items[fresh - 1], times[fresh - 1])
                if fresh
                else self._before(user, offsets[0], get)
            )
            if earlier is None:
                earlier = times[fresh]
            refused = self._refused(entries)
            for at in range(fresh, len(items)):
                item = None if at in refused else items[at]
                yield offsets[at], appended[at], item, before, times[at], earlier
                before, earlier = items[at], times[at]
            self._remember(user, offsets[-1], items[-1], times[-1])

    def _refused(self, entries: bytes) -> Collection[int]:
        """Which of a run's entries are refusals."""
        may_be = self._may_be
        if not any(may_be):
            return ()
        codes = [entries[start + 1] for start in entry_starts(entries, 0)]
        if not any(code >= len(may_be) or may_be[code] for code in codes):
            return ()
        decoded = decode_entries(entries, self._actions)
        holds = self._refusals.holds
        return {at for at, each in enumerate(decoded) if holds(each.action, each.value)}

    def _before(self, user: bytes, offset: int, get: Get) -> _Before:
        """The user's item before a run, whose first event has this ``offset``."""
        at, item, time = self._last.get(user, _NOBODY)
        remembered = item, time
        if at >= self._unsure:
            return remembered
        value = get(USER_PREFIX + user)
        if value is None:
            return remembered
        _, newest, count = unpack_header(value)
        if newest <= at or not count:
            return remembered
        # Moved into the value meanwhile: what was before cannot be told at once.
        return _last_of(value, count) if newest < offset else _UNTOLD

    def _remember(self, user: bytes, offset: int, item: ItemId, time: int) -> None:
        self._last[user] = offset, item, time
        self._last.move_to_end(user)
        if len(self._last) > _USERS:
            self._last.popitem(last=False)


def _last_of(value: bytes, count: int) -> _Before:
    """The item and the time of the newest entry of a sequence value."""
    newest = value[skip_entries(value, HEADER_BYTES, count - 1) :]
    (item,), (time,) = decode_items_and_times(newest)
    return item, time


def _columns(
    rows: list[_Row],
) -> tuple[list[int], list[int], list[ItemId | None], list[ItemId | None], list[int], list[int]]:
    return (
        [offset for offset, _, _, _, _, _ in rows],
        [appended for _, appended, _, _, _, _ in rows],
        [item for _, _, item, _, _, _ in rows],
        [before for _, _, _, before, _, _ in rows],
        [time for _, _, _, _, time, _ in rows],
        [earlier for _, _, _, _, _, earlier in rows],
    )

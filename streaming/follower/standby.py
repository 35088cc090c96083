"""One partition as a follower keeps it: store and fold, held together by single write batches."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everfresh.contracts.errors import StateError
from everfresh.contracts.sequence import FORMAT, META_KEY, PartitionMeta
from everfresh.streaming.fold.opening import (
    decode_meta,
    extended_actions,
    forget_ids,
    note_rules,
    read_segments,
    require_log,
    require_rules,
)
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.follower.standby_fold import StandbyFold
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.log.records import Record
from everfresh.streaming.state.key_layout import (
    CLOSING_KEY,
    DEDUPLICATION_PREFIX,
    JOIN_PREFIX,
    OUTBOX_PREFIX,
    SLICE_HEAD_KEY,
)
from everfresh.streaming.state.store import PartitionStore
from everfresh.streaming.state.write_batch import WriteBatch


class Standby:
    """The only writer of this copy of a partition's state; :func:`open_standby` builds it.

    Nothing is synced: state and offset are written as one, so what a power cut takes is read again
    from the offset that it leaves.
    """

    def __init__(self, store: PartitionStore, fold: StandbyFold) -> None:
        self._store = store
        self._fold = fold
        self._unwritten: StateError | None = None

    @property
    def applied(self) -> int:
        """The offset after the last record that the state contains."""
        return self._fold.applied

    @property
    def settling(self) -> bool:
        """Whether there is something for :meth:`settle` to do."""
        return self._fold.settling

    def apply(self, records: Iterable[Record]) -> WriteBatch:
        """Fold records in log order; state and offset are written as one (law 2)."""
        self._require_written()
        return self._commit(self._fold.fold(records))

    def settle(self) -> WriteBatch:
        """Move the events of some users into their values, some milliseconds of work."""
        self._require_written()
        return self._commit(self._fold.settle())

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def _require_written(self) -> None:
        if self._unwritten is not None:
            raise self._unwritten  # the fold has gone on without what was not written

    def _commit(self, batch: WriteBatch) -> WriteBatch:
        if batch:
            try:
                self._store.write(batch.puts, batch.deletes, sync=False)
            except StateError as error:
                self._unwritten = error
                raise
        return batch


def strip_ownership(store: PartitionStore) -> None:
    """Let go of what an owner alone needs: the open slice, its outbox, and the join.

    What it marks, :func:`require_standby` sees: a worker never goes on with this state, and a
    follower never with a worker's.
    """
    for prefix in (OUTBOX_PREFIX, JOIN_PREFIX):
        store.drop(prefix)
    store.write({}, [SLICE_HEAD_KEY, CLOSING_KEY])


def require_standby(store: PartitionStore, place: LogPlace) -> None:
    """``StateError`` where this is the state of a stream worker."""
    if store.get(SLICE_HEAD_KEY) is not None:
        raise StateError(
            f"the state of {place.topic}-{place.partition} in this home is a stream worker's, with "
            "windows and records that still have to reach Kafka; give the follower a home of its "
            "own (EVERFRESH_HOME, or --home)"
        )


def begin_standby(store: PartitionStore, place: LogPlace, rules: FoldRules) -> None:
    """Begin with the start of the log, in a store that is empty."""
    meta = PartitionMeta(
        FORMAT,
        place.cluster,
        place.topic,
        place.topic_id,
        place.partition,
        place.start,
        rules.actions,
        place.partitions,
    )
    store.write({META_KEY: msgspec.msgpack.encode(meta)})


def open_standby(store: PartitionStore, place: LogPlace, rules: FoldRules) -> Standby:
    """Go on where the state ends.

    :class:`StateFormatError` where it is of another format version, or was folded by other settings
    than ``rules``; :class:`LogMismatch` where it is of another log, is ahead of the log, or the log
    no longer holds what comes next.
    """
    meta = decode_meta(store.get(META_KEY) or b"")
    require_log(meta, place)
    require_rules(store, rules)
    actions = extended_actions(meta.actions, rules.actions)
    meta = msgspec.structs.replace(meta, actions=actions, partitions=place.partitions)
    segments = read_segments(store, meta)
    if not rules.remember_ids:
        forget_ids(store)
    note_rules(store, rules)
    recent = store.scan(DEDUPLICATION_PREFIX)
    return Standby(store, StandbyFold(meta, rules, store.get_many, segments, recent))

"""Opens a partition's join: where it stopped, or anew, or not at all."""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import LogMismatch, StateFormatError
from everfresh.contracts.foreign import ARRAY, advice, newer
from everfresh.streaming.join.join import Join
from everfresh.streaming.join.rows import (
    JOIN_FORMAT,
    JOIN_KEY,
    JoinHead,
    decode_join_head,
    encode,
)
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.log.placement import Placement
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.state.key_layout import JOIN_PREFIX
from everfresh.streaming.state.store import PartitionStore

_ADVICE = (
    "run the worker once with joins.horizon_s=0, which lets go of the exposures that still wait "
    "for feedback, or delete the state directory to rebuild it from both logs"
)


def open_join(
    store: PartitionStore,
    outbox: Outbox,
    applied: int,
    anew: bool,
    exposures: LogPlace,
    horizon_ms: int,
) -> Join:
    """Resume from the state, or begin: with the exposures' log where the events begin too
    (``anew``), at its end where events have been applied that nobody looked at for feedback.

    :class:`LogMismatch` where the exposures are another log than before, or lack what comes next;
    :class:`StateFormatError` where another version wrote it.
    """
    raw = store.get(JOIN_KEY)
    head = None if raw is None else _decode(raw)
    if head is None or head.events != applied:
        drop_join(store)
        begin = exposures.start if anew else exposures.end
        head = JoinHead(JOIN_FORMAT, exposures.topic_id, applied, begin)
        store.write({JOIN_KEY: encode(head)})
    _check(head, exposures)
    placement = Placement(exposures.partition, exposures.partitions)
    return Join(head, exposures.partition, horizon_ms, store, outbox, placement)


def drop_join(store: PartitionStore) -> None:
    """Remove everything that a join has left, where there is any."""
    keys = [key for key, _ in store.scan(JOIN_PREFIX)]
    if keys:
        store.write({}, keys)


def _decode(raw: bytes) -> JoinHead:
    try:
        head = decode_join_head(raw)
    except msgspec.DecodeError as error:
        why = newer(raw, (JOIN_FORMAT,), ARRAY) or f"cannot be read ({error}); {_ADVICE}"
        raise StateFormatError(f"the join's state: {why}") from None
    if head.format != JOIN_FORMAT:
        raise StateFormatError(
            f"join format {JOIN_FORMAT} expected, found {head.format}; "
            f"{advice(head.format, (JOIN_FORMAT,), _ADVICE)}"
        )
    return head


def _check(head: JoinHead, exposures: LogPlace) -> None:
    name = f"partition {exposures.partition} of {exposures.topic}"
    if head.topic_id != exposures.topic_id:
        raise LogMismatch(
            f"the join has read {name} of topic id {head.topic_id}, this is {exposures.topic_id}: "
            f"the topic was recreated; {_ADVICE}"
        )
    if head.exposures > exposures.end:
        raise LogMismatch(
            f"the join has read {name} up to {head.exposures}, it ends at {exposures.end}: the log "
            f"was cut; {_ADVICE}"
        )
    if head.exposures < exposures.start:
        raise LogMismatch(
            f"the join has read {name} up to {head.exposures}, it begins at {exposures.start}: "
            f"retention removed {exposures.start - head.exposures} records unread; {_ADVICE}"
        )

"""Opens a partition's state, or begins one: compares it with the log and refuses to guess."""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import LogMismatch, StateFormatError
from everfresh.contracts.segment import Segment, decode_runs, segment_key, split
from everfresh.contracts.sequence import FORMAT, META_KEY, PartitionMeta
from everfresh.streaming.fold.deduplication import RECENT_PREFIX
from everfresh.streaming.fold.fold import Fold
from everfresh.streaming.fold.rules import FoldRules
from everfresh.streaming.join.opening import drop_join, open_join
from everfresh.streaming.log.identity import LogPlace, require_partitions
from everfresh.streaming.partition import Partition, outbox_bytes
from everfresh.streaming.state.key_layout import (
    CLOSING_KEY,
    HEAD_FORMAT,
    HEAD_KEY,
    NO_LABEL,
    OUTBOX_PREFIX,
    SliceHead,
    decode_closing,
    decode_head,
    encode,
)
from everfresh.streaming.state.store import PartitionStore


def open_partition(
    store: PartitionStore, place: LogPlace, rules: FoldRules, exposures: LogPlace | None = None
) -> Partition:
    """Resume from the state, or begin at the start of the log where there is none.

    ``exposures`` is the partition of the same number that feedback is joined with; without one,
    nothing is joined, as with a horizon of 0.

    :class:`StateFormatError` where the state was written by another format version, action list
    or window length; :class:`LogMismatch` where it was folded from another log, is ahead of the
    log, or the log no longer holds what comes next.
    """
    raw = store.get(META_KEY)
    if raw is None:
        meta, head = _fresh(place, rules)
        _write_start(store, meta, head)
    else:
        meta, head = _decode(raw, store.get(HEAD_KEY))
        _check_log(meta, place)
        if head.period_ms != rules.period_ms:
            raise StateFormatError(
                f"the state of partition {place.partition} is cut into windows of "
                f"{head.period_ms} ms, windows.seconds now says {rules.period_ms} ms; set it back, "
                "or use another home to start anew"
            )
        meta = msgspec.structs.replace(
            meta,
            actions=_extended(meta.actions, rules.actions),
            partitions=place.partitions,
        )
    raw_closing = store.get(CLOSING_KEY)
    closing = None if raw_closing is None else decode_closing(raw_closing)
    held = outbox_bytes(store.scan(OUTBOX_PREFIX))
    parcels = sorted(held)
    number = parcels[-1] + 1 if parcels else 0
    if closing is not None:
        number = max(number, closing.parcel + 1)
        parcels = [parcel for parcel in parcels if parcel != closing.parcel]
    fold = Fold(meta, head, rules, store.get_many, number)
    values = store.get_many([segment_key(name) for name in meta.segments])
    named = zip(meta.segments, values, strict=True)
    segments = [_segment(name, value or b"") for name, value in named]
    if not rules.remember_ids:
        _forget(store)
    fold.restore(closing, segments, store.scan(RECENT_PREFIX))
    join = None
    if not rules.horizon_ms:
        drop_join(store)
    elif exposures is not None:
        join = open_join(store, meta.applied, raw is None, exposures, rules.horizon_ms)
    return Partition(store, fold, join, parcels, held)


def _forget(store: PartitionStore) -> None:
    if keys := [key for key, _ in store.scan(RECENT_PREFIX)]:
        store.write({}, keys)


def _segment(name: tuple[int, int], raw: bytes) -> Segment:
    runs = decode_runs(raw)
    return Segment(*name, sum(len(split(run)[1]) for run in runs.values()), runs)


def _fresh(place: LogPlace, rules: FoldRules) -> tuple[PartitionMeta, SliceHead]:
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
    head = SliceHead(
        HEAD_FORMAT,
        rules.period_ms,
        rules.max_targets,
        rules.stretch_events,
        NO_LABEL,
        NO_LABEL,
        place.start,
    )
    return meta, head


def _write_start(store: PartitionStore, meta: PartitionMeta, head: SliceHead) -> None:
    store.write({META_KEY: msgspec.msgpack.encode(meta), HEAD_KEY: encode(head)})


def _decode(raw: bytes, raw_head: bytes | None) -> tuple[PartitionMeta, SliceHead]:
    try:
        meta = msgspec.msgpack.decode(raw, type=PartitionMeta)
        head = decode_head(raw_head or b"")
    except msgspec.DecodeError as error:
        raise StateFormatError(
            f"the state is not of a format this version reads ({error}); use another home, or "
            "delete the state directory to rebuild it from the log"
        ) from None
    for name, expected, found in (
        ("state", FORMAT, meta.format),
        ("slice", HEAD_FORMAT, head.format),
    ):
        if expected != found:
            raise StateFormatError(
                f"{name} format {expected} expected, found {found}; use another home, or delete "
                "the state directory to rebuild it from the log"
            )
    return meta, head


def _check_log(meta: PartitionMeta, place: LogPlace) -> None:
    advice = "use another home, or delete the state directory to rebuild it from the log"
    for name in ("cluster", "topic", "topic_id", "partition"):
        was, now = getattr(meta, name), getattr(place, name)
        if was != now:
            raise LogMismatch(
                f"the state of {meta.topic}-{meta.partition} was folded from {name} {was}, this is "
                f"{name} {now}; {advice}"
            )
    require_partitions(meta.topic, meta.partitions or place.partitions, place.partitions)
    if meta.applied > place.end:
        raise LogMismatch(
            f"the state of {meta.topic}-{meta.partition} reaches offset {meta.applied}, the log "
            f"ends at {place.end}: the log was cut or recreated; {advice}"
        )
    if meta.applied < place.start:
        raise LogMismatch(
            f"the state of {meta.topic}-{meta.partition} reaches offset {meta.applied}, the log "
            f"begins at {place.start}: retention removed {place.start - meta.applied} records "
            f"that were never applied; {advice}"
        )


def _extended(stored: list[str], current: list[str]) -> list[str]:
    if current[: len(stored)] != stored:
        raise StateFormatError(
            f"the state knows the actions {stored}, events.actions says {current}; new actions go "
            "to the end, others stay where they are; or use another home"
        )
    return current

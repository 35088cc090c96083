"""Opens a partition's fold: where its state ends, or at the start of the log where there is none.

It compares the state with the log and the settings, and refuses to guess.
"""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import LogMismatch, StateFormatError
from everfresh.contracts.foreign import ARRAY, MAP, advice, newer
from everfresh.contracts.segment import Segment, decode_runs, segment_key, split
from everfresh.contracts.sequence import FORMAT, META_KEY, PartitionMeta
from everfresh.streaming.fold.fold import Fold
from everfresh.streaming.fold.rows import (
    NO_LABEL,
    SLICE_HEAD_FORMAT,
    SliceHead,
    decode_closing,
    decode_slice_head,
    encode,
)
from everfresh.streaming.fold.rules import FoldRules, differing, shaping
from everfresh.streaming.log.identity import LogPlace, require_partitions
from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.state.key_layout import (
    CLOSING_KEY,
    DEDUPLICATION_PREFIX,
    RULES_KEY,
    SLICE_HEAD_KEY,
)
from everfresh.streaming.state.store import PartitionStore


def mark_restored(store: PartitionStore, place: LogPlace) -> None:
    """Note in a state that comes from a snapshot that another has worked on to the log's end."""
    meta = msgspec.msgpack.decode(store.get(META_KEY) or b"", type=PartitionMeta)
    meta = msgspec.structs.replace(meta, forwards_from=place.end)
    store.write({META_KEY: msgspec.msgpack.encode(meta)})


def open_fold(store: PartitionStore, place: LogPlace, rules: FoldRules) -> tuple[Fold, Outbox]:
    """The fold, and the outbox that it fills.

    :class:`StateFormatError` where the state was written by another format version, action list
    or window length; :class:`LogMismatch` where it was folded from another log, is ahead of the
    log, or the log no longer holds what comes next.
    """
    meta, head = _read_or_begin(store, place, rules)
    raw = store.get(CLOSING_KEY)
    closing = None if raw is None else decode_closing(raw)
    outbox = Outbox(store, None if closing is None else closing.outbox_batch)
    fold = Fold(meta, head, rules, store.get_many, outbox)
    segments = read_segments(store, meta)
    if not rules.remember_ids:
        forget_ids(store)
    note_rules(store, rules)
    fold.restore(closing, segments, store.scan(DEDUPLICATION_PREFIX))
    return fold, outbox


def _read_or_begin(
    store: PartitionStore, place: LogPlace, rules: FoldRules
) -> tuple[PartitionMeta, SliceHead]:
    raw = store.get(META_KEY)
    if raw is None:
        meta, head = _fresh(place, rules)
        store.write({META_KEY: msgspec.msgpack.encode(meta), SLICE_HEAD_KEY: encode(head)})
        return meta, head
    meta, head = _decode(raw, store.get(SLICE_HEAD_KEY))
    require_log(meta, place)
    if head.period_ms != rules.period_ms:
        raise StateFormatError(
            f"the state of partition {place.partition} is cut into windows of "
            f"{head.period_ms} ms, windows.seconds now says {rules.period_ms} ms; set it back, "
            "or use another home to start anew"
        )
    actions = extended_actions(meta.actions, rules.actions)
    return msgspec.structs.replace(meta, actions=actions, partitions=place.partitions), head


def forget_ids(store: PartitionStore) -> None:
    """Remove the ids of events that were accepted lately."""
    if keys := [key for key, _ in store.scan(DEDUPLICATION_PREFIX)]:
        store.write({}, keys)


def read_segments(store: PartitionStore, meta: PartitionMeta) -> list[Segment]:
    """The segments that ``meta`` names, in order."""
    values = store.get_many([segment_key(name) for name in meta.segments])
    named = zip(meta.segments, values, strict=True)
    return [_segment(name, value or b"") for name, value in named]


def note_rules(store: PartitionStore, rules: FoldRules) -> None:
    """Note in the state by which settings it is folded from now on."""
    raw = msgspec.msgpack.encode(shaping(rules))
    if store.get(RULES_KEY) != raw:
        store.write({RULES_KEY: raw})


def require_rules(store: PartitionStore, rules: FoldRules) -> None:
    """``StateFormatError`` where the state was folded by settings that make other states of the
    same log. A state of before they were noted passes."""
    theirs = msgspec.msgpack.decode(store.get(RULES_KEY) or b"\x80", type=dict[str, int])
    if difference := differing(theirs, rules):
        raise StateFormatError(difference)


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
        forwards_from=place.end,
    )
    head = SliceHead(
        SLICE_HEAD_FORMAT,
        rules.period_ms,
        rules.max_targets,
        rules.stretch_events,
        NO_LABEL,
        NO_LABEL,
        place.start,
        history_events=rules.history_events,
    )
    return meta, head


def _decode(raw: bytes, raw_head: bytes | None) -> tuple[PartitionMeta, SliceHead]:
    try:
        head = decode_slice_head(raw_head or b"")
    except msgspec.DecodeError as error:
        raise _unreadable(newer(raw_head, (SLICE_HEAD_FORMAT,), ARRAY), error) from None
    meta = decode_meta(raw)
    _require_format("slice", SLICE_HEAD_FORMAT, head.format)
    return meta, head


def decode_meta(raw: bytes) -> PartitionMeta:
    """A state's own description; ``StateFormatError`` where it is not of this format."""
    try:
        meta = msgspec.msgpack.decode(raw, type=PartitionMeta)
    except msgspec.DecodeError as error:
        raise _unreadable(newer(raw, (FORMAT,), MAP), error) from None
    _require_format("state", FORMAT, meta.format)
    return meta


_OLDER = "use another home, or delete the state directory to rebuild it from the log"


def _unreadable(newer_format: str, error: Exception) -> StateFormatError:
    if newer_format:
        return StateFormatError(f"the state: {newer_format}")
    return StateFormatError(f"the state is not of a format this version reads ({error}); {_OLDER}")


def _require_format(name: str, expected: int, found: int) -> None:
    if expected != found:
        raise StateFormatError(
            f"{name} format {expected} expected, found {found}; "
            f"{advice(found, (expected,), _OLDER)}"
        )


def require_log(meta: PartitionMeta, place: LogPlace) -> None:
    """``LogMismatch`` where the state does not go with what the log holds."""
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


def extended_actions(stored: list[str], current: list[str]) -> list[str]:
    """``current``; ``StateFormatError`` unless it is ``stored`` with more at the end."""
    if current[: len(stored)] != stored:
        raise StateFormatError(
            f"the state knows the actions {stored}, events.actions says {current}; new actions go "
            "to the end, others stay where they are; or use another home"
        )
    return current

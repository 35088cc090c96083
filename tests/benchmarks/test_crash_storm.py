"""The crash harness must be able to fail: each kind of damage is seen, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from benchmarks.crash_storm.observe import compare
from benchmarks.crash_storm.plain import PlainPartition, Rules, read_event
from benchmarks.crash_storm.tiling import Tiling
from everfresh.contracts.sequence import USER_PREFIX, encode_id
from everfresh.contracts.window import (
    SliceClosed,
    SlicePart,
    decode_slice_record,
    encode_slice_record,
)
from everfresh.streaming.fold.windows import HISTORY_AFTER_MS
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    ACTIONS,
    PERIOD_MS,
    START_MS,
    LogRecord,
    accepted,
    delivered,
    opened,
    rejected,
    rules,
)

LENGTH = rules().history_length
LOG: list[LogRecord] = [
    rejected(n, START_MS + 300 * n) if n % 7 == 3 else accepted(n, n % 3, n, START_MS + 300 * n)
    for n in range(40)
]


def plain() -> PlainPartition:
    log = PlainPartition(Rules(ACTIONS, 65_536, 1000))
    for record in LOG:
        log.add(record)
    return log


def folded() -> tuple[dict[bytes, bytes], list[bytes]]:
    """A state, and the records of all slices."""
    store = MemoryStore()
    partition = opened(store)
    partition.apply(LOG)
    partition.close_until(2 * START_MS // PERIOD_MS)
    rows = [row.value or b"" for row in delivered(partition) if row.topic == "windows"]
    return store.pairs, rows


def tiling(rows: list[bytes]) -> Tiling:
    checked = Tiling(plain(), PERIOD_MS, LENGTH)
    for raw in rows:
        checked.add(raw)
    checked.check()
    return checked


def test_a_sound_run_has_no_faults() -> None:
    pairs, rows = folded()
    faults = compare(pairs, plain(), LENGTH)
    assert (faults.lost, faults.duplicated, faults.wrong) == (0, 0, [])
    checked = tiling(rows)
    assert checked.faults == []
    assert checked.end == len(LOG)
    assert checked.slices > 5


def test_a_run_announced_again_is_no_fault() -> None:
    rows = folded()[1]
    checked = tiling(rows + rows)
    assert checked.faults == []
    assert checked.repeated == checked.slices


def test_records_that_came_late_are_late_in_every_cut_of_their_slice() -> None:
    label, ago_ms = START_MS // PERIOD_MS, 2 * HISTORY_AFTER_MS
    log = PlainPartition(Rules(ACTIONS, 65_536, 1000))
    partition = opened(MemoryStore(), rules(history_events=2))
    partition.close_until(label)
    history = [accepted(n, 1, n, START_MS + n, ago_ms=ago_ms) for n in range(5)]
    for record in history:
        log.add(record)
    partition.apply(history)
    partition.close_until(label + 1)
    checked = Tiling(log, PERIOD_MS, LENGTH)
    for row in delivered(partition):
        if row.topic == "windows":
            checked.add(row.value or b"")
    checked.check()
    assert checked.faults == []
    assert (checked.slices, checked.late) == (4, 5)


def ends(rows: list[bytes]) -> list[int]:
    """Where the closings stand."""
    return [at for at, raw in enumerate(rows) if isinstance(decode_slice_record(raw), SliceClosed)]


def without_a_slice(rows: list[bytes]) -> list[bytes]:
    _, second, third, *_ = ends(rows)
    return rows[: second + 1] + rows[third + 1 :]


def with_another_end(rows: list[bytes]) -> list[bytes]:
    at = ends(rows)[1]
    closed = decode_slice_record(rows[at])
    assert isinstance(closed, SliceClosed)
    moved = encode_slice_record(msgspec.structs.replace(closed, end=closed.end - 1))
    return [*rows[:at], moved, *rows[at + 1 :]]


def with_another_target(rows: list[bytes]) -> list[bytes]:
    part = decode_slice_record(rows[0])
    assert isinstance(part, SlicePart)
    first = part.examples[0]
    other = first.targets[:2] + b"\x07" + first.targets[3:]
    examples = [msgspec.structs.replace(first, targets=other), *part.examples[1:]]
    return [encode_slice_record(msgspec.structs.replace(part, examples=examples)), *rows[1:]]


@pytest.mark.parametrize("damage", [without_a_slice, with_another_end, with_another_target])
def test_damaged_windows_are_seen(damage: Callable[[list[bytes]], list[bytes]]) -> None:
    assert tiling(damage(folded()[1])).faults


def test_the_same_label_with_other_bytes_is_seen() -> None:
    rows = folded()[1]
    assert tiling(rows + with_another_target(rows)).faults


def test_lost_and_doubled_events_are_counted() -> None:
    pairs, _ = folded()
    key = USER_PREFIX + encode_id(1)
    header = bytearray(pairs[key])
    header[1] += 2
    pairs[key] = bytes(header)
    del pairs[USER_PREFIX + encode_id(2)]
    faults = compare(pairs, plain(), LENGTH)
    gone = sum(entry.user == 2 for entry in plain().accepted.values())
    assert (faults.lost, faults.duplicated, faults.wrong) == (gone, 2, [])


def test_another_history_is_seen() -> None:
    pairs, _ = folded()
    key = USER_PREFIX + encode_id(1)
    value = bytearray(pairs[key])
    value[-9] ^= 1
    pairs[key] = bytes(value)
    assert compare(pairs, plain(), LENGTH).wrong


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (None, b"{}", "keyless"),
        (b"7", None, "not_json"),
        (b"7", b"x" * 101, "oversize"),
        (b"7", b"{", "not_json"),
        (b"7", b"[]", "wrong_field"),
        (b"7", b'{"user_id": 7}', "missing_field"),
    ],
)
def test_the_plain_reading_names_reasons(key: bytes, value: bytes, expected: str) -> None:
    assert read_event(key, value, 1, Rules(ACTIONS, 100, 1000)) == expected


def test_the_plain_reading_tells_key_type_and_time() -> None:
    rules, fewer = Rules(ACTIONS, 100, 1000), Rules(["click"], 100, 1000)
    event = {"id": "a", "type": "view", "time": 2000, "user_id": 7, "item_id": 1}
    raw = json.dumps(event).encode()
    assert read_event(b"8", raw, 1000, rules) == "key_mismatch"
    assert read_event(b"7", raw, 1000, fewer) == "unknown_type"
    assert read_event(b"7", raw, 999, rules) == "in_the_future"
    assert read_event(b"7", raw, 1000, rules) == event

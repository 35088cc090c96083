"""What the trainer's reader makes of records that only a newer release reads."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
from kafka import TopicPartition

from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.contracts.window import SliceClosed


def test_a_slice_of_a_newer_release_is_handed_on_by_its_format_and_other_bytes_are_left_out() -> (
    None
):
    source = object.__new__(KafkaWindowSource)
    source._foreign, source._last_foreign = 0, ""
    part = TopicPartition("t.windows", 3)
    tomorrow = msgspec.msgpack.encode({"type": "closed", "format": 9, "end": [1, 2]})
    handed_on = source._decode(part, SimpleNamespace(value=tomorrow, offset=7))
    assert handed_on == SliceClosed(9, 3, 0, 0, 0, 0, 0, 0, "")
    assert source.left_out() == (0, "")
    assert source._decode(part, SimpleNamespace(value=b"other", offset=8)) is None
    assert source.left_out()[0] == 1

"""A header's name may be any bytes: kafka-python and aiokafka read the record all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from everfresh.adapters.kafka import header_names
from everfresh.streaming.log.header_names import _Records
from tests.streaming.sample_log import RawName

PLAIN, GZIP = 0, 1
Names = list[bytes]


def batch(base: int, names: Names, codec: int) -> bytes:
    """A batch as a broker keeps it, with a record for each header name."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1_000_000)
    for offset, name in enumerate(names):
        headers = [("good", b"1"), (RawName(name), b"2"), ("none", None)]
        builder.append(offset, 7 + offset, b"k%d" % offset, b"v", headers)
    raw = bytearray(builder.build())
    raw[:8] = base.to_bytes(8, "big")
    return bytes(raw)


def by_aiokafka(raw: bytes) -> Any:
    return _Records(raw)


def by_kafka_python(raw: bytes) -> Any:
    header_names.forgive_header_names()
    return MemoryRecords(raw)


def read(records: Any) -> Iterator[Any]:
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        yield from batch
        assert batch.next_offset > batch.base_offset


@pytest.mark.parametrize("parse", [by_aiokafka, by_kafka_python])
@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.binary(max_size=6), min_size=1, max_size=4),
            st.sampled_from([PLAIN, GZIP]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_header_whose_name_is_no_text_stops_no_reader(
    parse: Callable[[bytes], Any], batches: list[tuple[Names, int]]
) -> None:
    raw, expected = b"", []
    for n, (names, codec) in enumerate(batches):
        raw += batch(100 * n, names, codec)
        expected += [(100 * n + at, name) for at, name in enumerate(names)]
    records = list(read(parse(raw)))
    assert [(record.offset, record.key, record.value) for record in records] == [
        (offset, b"k%d" % (offset % 100), b"v") for offset, _ in expected
    ]
    for record, (_, name) in zip(records, expected, strict=True):
        text = name.decode(errors="backslashreplace")
        assert list(record.headers) == [("good", b"1"), (text, b"2"), ("none", None)]

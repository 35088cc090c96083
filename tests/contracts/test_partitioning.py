"""Which partition a key belongs to, as Kafka's own clients say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import partitioner

from everfresh.contracts.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_hash_as_in_kafkas_own_tests(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@given(key=st.binary(max_size=220), partitions=st.integers(1, 4096))
def test_a_key_belongs_where_the_producers_client_puts_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (partitioner.murmur2(key) & 0x7FFFFFFF) % partitions

"""The outbox's rows and keys, encoded and read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everfresh.streaming.outbox.rows import (
    OutboxRow,
    batch_of,
    batch_prefix,
    decode_outbox_row,
    encode_outbox_row,
    row_key,
)

_numbers = st.integers(0, 2**32 - 1)
_rows = st.builds(
    OutboxRow,
    topic=st.text(max_size=9),
    partition=st.none() | st.integers(0, 2**31),
    key=st.none() | st.binary(max_size=9),
    value=st.none() | st.binary(max_size=30),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3),
)


@given(row=_rows)
def test_decode_of_encode_is_the_row(row: OutboxRow) -> None:
    assert decode_outbox_row(encode_outbox_row(row)) == row


@given(first=st.tuples(_numbers, _numbers), second=st.tuples(_numbers, _numbers))
def test_keys_are_in_the_order_of_batches_and_their_rows(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    assert (row_key(*first) < row_key(*second)) == (first < second)
    assert row_key(*first).startswith(batch_prefix(first[0]))
    assert batch_of(row_key(*first)) == first[0]


def test_the_bytes_on_disk_are_those_of_earlier_versions() -> None:
    assert row_key(3, 1) == b"o" + (3).to_bytes(8, "big") + (1).to_bytes(4, "big")
    row = OutboxRow("windows", 2, None, b"v", [("h", b"1")])
    assert encode_outbox_row(row) == b"\x95\xa7windows\x02\xc0\xc4\x01v\x91\x92\xa1h\xc4\x011"

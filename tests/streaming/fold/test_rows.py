"""The fold's own records, encoded and read back."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from everfresh.streaming.fold.rows import (
    Closing,
    SliceHead,
    decode_closing,
    decode_slice_head,
    encode,
)

_numbers = st.integers(-1, 2**62)
_heads = st.builds(SliceHead, *[_numbers] * len(SliceHead.__struct_fields__))
_closings = st.builds(Closing, *[_numbers] * 6, closed=st.none())


@given(closing=_closings, head=_heads)
def test_decode_of_encode_is_the_record(closing: Closing, head: SliceHead) -> None:
    assert decode_closing(encode(closing)) == closing
    assert msgspec.structs.astuple(decode_slice_head(encode(head))) == msgspec.structs.astuple(head)

"""Headers of safetensors files: what is read of a sound one, and that others are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from everfresh.contracts.safetensors import (
    TensorPlace,
    data_start,
    declared_places,
    file_metadata,
    tensor_places,
)

TENSORS = {
    "table": np.arange(12, dtype=np.float32).reshape(4, 3),
    "scalar": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 5), dtype=np.uint8),
}
RAW = save(TENSORS, {"made": "here"})


def with_header(header: object, data: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(**changed: object) -> dict[str, object]:
    return {"t": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2], **changed}}


def test_each_tensor_is_found_where_it_lies() -> None:
    for raw in (RAW, memoryview(RAW)):
        places = tensor_places(raw)
        assert places.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            place = places[name]
            assert place.shape == tensor.shape
            assert RAW[place.begin : place.end] == tensor.tobytes()
        assert (places["table"].rows, places["table"].row_bytes) == (4, 12)
        assert (places["scalar"].rows, places["empty"].row_bytes) == (1, 0)
        assert file_metadata(raw) == {"made": "here"}


def test_a_header_without_its_data_still_says_where_tensors_lie() -> None:
    header = RAW[: data_start(RAW)]
    assert declared_places(header) == tensor_places(RAW)
    with pytest.raises(ValueError, match="lies at"):
        tensor_places(header)


@pytest.mark.parametrize(
    "changed",
    [
        {"data_offsets": [0, 3]},
        {"data_offsets": [1, 3]},
        {"data_offsets": [2, 0]},
        {"data_offsets": [-2, 0]},
        {"data_offsets": [0]},
        {"shape": [3]},
        {"shape": [-1, -2]},
        {"shape": "2"},
        {"dtype": "U9"},
        {"dtype": 1},
    ],
)
def test_a_tensor_that_lies_outside_its_file_or_has_another_size_is_refused(
    changed: dict[str, object],
) -> None:
    sound = with_header(entry(), b"ab")
    start = data_start(sound)
    assert tensor_places(sound) == {"t": TensorPlace("U8", (2,), start, start + 2)}
    with pytest.raises(ValueError, match="t: "):
        tensor_places(with_header(entry(**changed), b"ab"))


@pytest.mark.parametrize("header", [[], 1, "t", {"t": 1}, {"t": {}}])
def test_a_header_that_is_none_is_refused(header: object) -> None:
    with pytest.raises(ValueError, match=":"):
        tensor_places(with_header(header))


def test_a_header_of_brackets_alone_is_refused() -> None:
    deep = b'{"t": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ValueError, match=r"recursion|Expected"):  # Python 3.14 nests deeper
        tensor_places(len(deep).to_bytes(8, "little") + deep)


def test_texts_that_are_none_are_refused_and_a_file_may_have_none() -> None:
    assert file_metadata(with_header(entry(), b"ab")) == {}
    with pytest.raises(ValueError, match="__metadata__"):
        file_metadata(with_header({"__metadata__": {"a": 1}}))


@given(st.binary(max_size=60), st.integers(0, len(RAW)))
def test_whatever_the_bytes_are_nothing_but_a_value_error_comes(raw: bytes, cut: int) -> None:
    for damaged in (raw, RAW[:cut] + raw, RAW[:cut] + raw + RAW[cut + len(raw) :]):
        try:
            places = tensor_places(damaged)
        except ValueError:
            continue
        for place in places.values():
            assert 8 <= place.begin <= place.end <= len(damaged)

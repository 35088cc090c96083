import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts import sequence
from everfresh.contracts.errors import StateFormatError
from everfresh.contracts.sequence import Interaction

ACTIONS = ["view", "rating"]
ids = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=50)
interactions = st.builds(
    Interaction,
    item=ids,
    action=st.sampled_from(ACTIONS),
    time=st.integers(0, 2**62),
    value=st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def _entries(events: list[Interaction]) -> bytes:
    return b"".join(
        sequence.encode_entry(e.item, ACTIONS.index(e.action), e.time, e.value) for e in events
    )


@given(ids)
def test_decode_of_encode_is_the_id(value: int | str) -> None:
    assert sequence.decode_id(sequence.encode_id(value)) == value


def test_an_integer_and_its_text_are_two_ids() -> None:
    assert sequence.encode_id(7) != sequence.encode_id("7")


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(struct.error):
        sequence.encode_id(2**63)


@given(st.lists(interactions, max_size=20))
def test_decode_of_encode_is_the_entries(events: list[Interaction]) -> None:
    assert sequence.decode_entries(_entries(events), ACTIONS) == events


@given(st.lists(interactions, max_size=20), st.integers(0, 25))
def test_readers_take_the_last_entries_only(events: list[Interaction], length: int) -> None:
    raw = sequence.pack_sequence(99, 1234, len(events), _entries(events))
    state = sequence.decode_sequence("u", 3, raw, ACTIONS, length)
    assert state.history == events[max(0, len(events) - length) :]
    assert (state.accepted, state.offset, state.partition) == (99, 1234, 3)


alike = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9),
    st.lists(st.text("aé", min_size=3, max_size=3), min_size=1, max_size=9),
)


@given(alike, st.data())
def test_columns_hold_what_the_entries_do(items: list[int | str], data: st.DataObject) -> None:
    events = [msgspec.structs.replace(data.draw(interactions), item=item) for item in items]
    lengths = {len(sequence.encode_id(item)) for item in items}
    columns = sequence.even_entries(_entries(events))
    assert (columns is None) == (len(lengths) > 1)
    if columns is not None:
        assert list(columns.items) == items
        assert [ACTIONS[code] for code in columns.codes] == [e.action for e in events]
        assert list(columns.times) == [e.time for e in events]
        values = [None if math.isnan(value) else value for value in columns.values]
        assert values == [e.value for e in events]


@pytest.mark.parametrize("items", [[*range(40)], [f"i{n:04d}" for n in range(40)], ["a", 7, "bc"]])
@pytest.mark.parametrize("number", [0, 1, 3, 40])
def test_items_alone_are_those_of_the_entries(items: list[int | str], number: int) -> None:
    events = [Interaction(item, ACTIONS[0], 5) for item in items[:number]]
    assert sequence.decode_items(_entries(events)) == items[:number]


def test_entries_that_are_not_alike_have_no_columns() -> None:
    numbers, texts = (sequence.encode_entry(item, 0, 0, None) for item in (7, "12345678"))
    assert len(numbers) == len(texts)
    for raw in (b"", numbers + texts, texts + numbers, numbers + numbers[:-1], b"\x05" + numbers):
        assert sequence.even_entries(raw) is None


def test_another_format_is_refused_and_named() -> None:
    raw = bytes([9]) + sequence.pack_sequence(1, 1, 0, b"")[1:]
    with pytest.raises(StateFormatError, match="format 2 expected, found 9"):
        sequence.unpack_header(raw)


def test_an_action_code_outside_the_table_is_refused() -> None:
    raw = sequence.encode_entry(1, 7, 0, None)
    with pytest.raises(StateFormatError, match="code 7"):
        sequence.decode_entries(raw, ACTIONS)

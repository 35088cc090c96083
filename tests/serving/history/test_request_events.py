"""Whether a sequence value holds an entry: as an entry, not as bytes that happen to be there."""

from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.sequence import encode_entry, pack_sequence
from everfresh.serving.history.request_events import held_entries

CHANCE = encode_entry("b", 0, 77, 2.0)
"""Plain ASCII, so that an item's id may contain it."""


def sequence(*entries: bytes) -> bytes:
    return pack_sequence(len(entries), 9, len(entries), b"".join(entries))


def holds(raw: bytes, entry: bytes) -> bool:
    return held_entries(raw, [entry]) == {entry}


def test_bytes_within_an_entry_are_no_entry() -> None:
    around = encode_entry("a" + CHANCE.decode() + "c", 0, 5, None)
    assert CHANCE in around
    assert not holds(sequence(around), CHANCE)
    assert holds(sequence(around, CHANCE), CHANCE)
    assert holds(sequence(CHANCE, around), CHANCE)


def test_bytes_across_two_entries_are_no_entry() -> None:
    # The first ends with what an entry of its length begins with, the second begins with its rest.
    second = encode_entry(3, 0, 1_000, None)
    size = 30
    wanted = bytes([size, *range(1, size - len(second) + 1)]) + second
    first = encode_entry("s" + wanted[: -len(second)].decode(), 0, 5, None)
    assert wanted in first + second
    assert not holds(sequence(first, second), wanted)
    assert holds(sequence(first, second, wanted), wanted)


def test_bytes_of_the_header_are_no_entry() -> None:
    raw = pack_sequence(1, int.from_bytes(CHANCE[4:12], "little", signed=True), 0, b"")
    assert not holds(raw, raw[9:17])


ENTRIES = st.builds(
    encode_entry,
    st.integers(0, 2) | st.sampled_from(["", "\x16", CHANCE.decode(), CHANCE.decode() * 3]),
    st.integers(0, 1),
    st.sampled_from([0, 22, 77]),
    st.sampled_from([None, 2.0]),
)


@given(st.lists(ENTRIES, max_size=12), st.lists(ENTRIES, max_size=4))
def test_what_is_held_is_what_equals_one_of_the_entries(
    entries: list[bytes], wanted: list[bytes]
) -> None:
    assert held_entries(sequence(*entries), wanted) == {*entries} & {*wanted}

from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.segment import (
    INT_ROW,
    Segment,
    decode_runs,
    encode_row,
    encode_runs,
    first_offset,
    merged,
    split,
    surplus,
)
from everfresh.contracts.sequence import INT_ENTRY, encode_entry, encode_id

ids = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1, max_size=20)
events = st.tuples(
    st.integers(0, 2**62), st.integers(0, 2**62), ids, st.integers(0, 255), st.integers(0, 2**62)
)


def _row(event: tuple[int, int, int | str, int, int]) -> bytes:
    offset, appended, item, code, time = event
    return encode_row(offset, appended, encode_entry(item, code, time, None))


@given(st.lists(events, min_size=1, max_size=20))
def test_split_takes_apart_what_rows_put_together(
    made: list[tuple[int, int, int | str, int, int]],
) -> None:
    run = b"".join(map(_row, made))
    entries = b"".join(encode_entry(item, code, time, None) for _, _, item, code, time in made)
    assert split(run) == (entries, [event[0] for event in made], [event[1] for event in made])
    assert first_offset(run) == made[0][0]


def test_a_long_run_of_equal_rows_is_split_like_a_short_one() -> None:
    made = [(offset, offset + 7, offset % 5, 1, 9) for offset in range(1000)]
    entries, offsets, appended = split(b"".join(map(_row, made)))
    assert entries == b"".join(encode_entry(event[2], 1, 9, None) for event in made)
    assert (offsets, appended) == ([event[0] for event in made], [event[1] for event in made])


def test_a_row_in_one_go_is_the_same_row() -> None:
    row = INT_ROW.pack(5, 6, INT_ENTRY.size - 1, 2, 7, 0.5, b"i", -8)
    assert row == encode_row(5, 6, encode_entry(-8, 2, 7, 0.5))


def _segment(first: int, users: dict[str, list[int]]) -> Segment:
    runs = {
        encode_id(user): b"".join(_row((offset, offset, 1, 0, 0)) for offset in offsets)
        for user, offsets in users.items()
    }
    return Segment(first, first + 10, sum(map(len, users.values())), runs)


def test_merged_segments_hold_each_users_events_in_log_order() -> None:
    earlier = _segment(0, {"b": [0, 3], "a": [1]})
    later = _segment(10, {"a": [10], "c": [11]})
    whole = merged([earlier, later])
    assert (whole.name, whole.events) == ((0, 20), 5)
    runs = decode_runs(encode_runs(whole))
    assert [(user, split(run)[1]) for user, run in runs.items()] == [
        (b"sb", [0, 3]),
        (b"sa", [1, 10]),
        (b"sc", [11]),
    ]


@given(st.lists(st.integers(1, 5000), max_size=400))
def test_segments_stay_few_however_fetches_come(fetches: list[int]) -> None:
    sizes: list[int] = []
    for fetch in fetches:
        sizes.append(fetch)
        number = surplus(sizes)
        if number:
            sizes[-number:] = [sum(sizes[-number:])]
    assert sum(sizes) == sum(fetches)
    assert len(sizes) <= 7 * ((sum(fetches)).bit_length() // 3 + 1)

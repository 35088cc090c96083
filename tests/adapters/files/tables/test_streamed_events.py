"""JSON lines of events as the stream has them: read without an option, by the rules of tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everfresh.contracts.errors import DataFileError, EverfreshError
from everfresh.contracts.event import MAX_ID_BYTES, Event
from tests.adapters.files.tables.reading_of import NOW_MS, read, rejected

T = 1_700_000_000_000


def line_of(**fields: object) -> str:
    return json.dumps({"type": "view", "user_id": 1, "item_id": 2, "time": T, **fields})


def saved(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
    return path


def ids(path: Path, *lines: str) -> list[str]:
    return [event.id for event in read(saved(path, *lines))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_field_is_kept(tmp_path: Path, encoding: str) -> None:
    event = Event("e1", "like", T, "ann", 7, 0.5, "r1", {"page": 2, "tags": ["a", None]})
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    assert read(saved(tmp_path / "e", json.dumps(fields), encoding=encoding)) == [event]


def test_fields_that_come_late_are_kept_too(tmp_path: Path) -> None:
    last = line_of(value=2.5, request_id="r", attributes={"page": "home"}, id="mine", time=T + 1)
    *_, event = read(saved(tmp_path / "e", *[line_of()] * 1000, last))
    assert (event.id, event.value, event.request_id) == ("mine", 2.5, "r")
    assert event.attributes == {"page": "home"}


def test_ids_are_of_either_kind_and_stay_what_they_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "e", line_of(user_id=7), line_of(user_id="7"), line_of(item_id="a"))
    assert [(event.user_id, event.item_id) for event in read(path)] == [(7, 2), ("7", 2), (1, "a")]


def test_they_are_sorted_by_their_times(tmp_path: Path) -> None:
    path = saved(tmp_path / "e", line_of(time=T + 5), line_of(time=T), line_of(time=T + 2))
    assert [event.time for event in read(path)] == [T, T + 2, T + 5]


@pytest.mark.parametrize(
    "time", [T // 1000, f"{T // 1000}", T // 1000 + 0.0, "2023-11-14T22:13:20Z", float(T)]
)
def test_times_of_other_units_are_told(tmp_path: Path, time: object) -> None:
    (event,) = read(saved(tmp_path / "e", line_of(time=time)))
    assert event.time == T


def test_a_line_without_a_time_is_refused(tmp_path: Path) -> None:
    untimed = json.dumps({"type": "view", "user_id": 1, "item_id": 2})
    with pytest.raises(DataFileError, match="line 2: missing_field: time is missing"):
        read(saved(tmp_path / "e", line_of(), untimed))
    with pytest.raises(EverfreshError, match="no column titled as a time"):
        read(saved(tmp_path / "e", untimed))


def test_members_that_no_event_has_are_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "e", line_of(session_id=5, action="tap", rating=3))
    (event,) = read(path)
    assert (event.type, event.user_id, event.value, event.attributes) == ("view", 1, None, None)


def test_an_id_is_the_same_in_every_file_and_no_two_share_one(tmp_path: Path) -> None:
    one, two = line_of(), line_of(item_id=3)
    apart = ids(tmp_path / "a", one) + ids(tmp_path / "b", two)
    assert sorted(ids(tmp_path / "both", two, one)) == sorted(apart)
    assert len(set(ids(tmp_path / "twice", one, two, one))) == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"type": "view", "user_id": 1}', "missing_field"),
        ("[]", "not_json"),
        (line_of(type="addtocart"), "unknown_type"),
        (line_of(type=""), "missing_field"),
        (line_of(user_id=""), "missing_field"),
        (line_of(user_id=1.5), "bad_user_id"),
        (line_of(user_id=True), "bad_user_id"),
        (line_of(user_id={"id": 1}), "bad_user_id"),
        (line_of(item_id="x" * (MAX_ID_BYTES + 1)), "bad_item_id"),
        (line_of(user_id="ü" * MAX_ID_BYTES), "bad_user_id"),
        (line_of(user_id=2**64), "bad_user_id"),
        (line_of(item_id=-(2**64)), "bad_item_id"),
        (line_of(time=-5), "bad_time"),
        (line_of(time=T * 1000), "bad_time"),
        (line_of(time=NOW_MS + 3_600_001), "in_the_future"),
        (line_of(value=1e39), "bad_value"),
        (line_of(value=10**310), "bad_value"),
        (line_of(attributes={"page": "x" * 300_000}), "oversize"),
        (line_of()[:-1] + ',"attributes":' + '{"a":' * 100_000 + "1" + "}" * 100_001, "not_json"),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_its_number(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = saved(tmp_path / "e", *[line_of()] * 1000, "", line)
    with pytest.raises(DataFileError, match=f"line 1002: {reason}: .*nothing was done"):
        read(path)
    assert len(read(path, tolerate=0.001)) == 1000
    assert rejected(path) == [(1002, reason)]

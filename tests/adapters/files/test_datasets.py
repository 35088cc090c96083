"""Every dataset format is read as events in time order, and errors name the line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from everfresh.adapters.files.datasets import DATASETS, EventFile, event_check
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.event import Event
from everfresh.contracts.settings import EventSettings

U_DATA = "7\t10\t3\t200\n8\t11\t4.5\t100\n7\t12\t1\t100\n"
INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + U_DATA
RATED = [
    Event("ml-100k:8:11:4.5:100", "rating", 100_000, 8, 11, 4.5),
    Event("ml-100k:7:12:1.0:100", "rating", 100_000, 7, 12, 1.0),
    Event("ml-100k:7:10:3.0:200", "rating", 200_000, 7, 10, 3.0),
]


NOW_MS = 1_700_000_000_000


def read(form: str, path: Path, **settings: int) -> EventFile:
    return DATASETS[form](path, event_check(EventSettings(**settings), NOW_MS))


def saved(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def archived(path: Path, member: str, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "not this one")
        archive.writestr(member, text)
    return path


@pytest.mark.parametrize("name", ["u.data", "ml-100k.inter", "folder", "zip", "wheel"])
def test_ml_100k_reads_every_publisher_s_form(tmp_path: Path, name: str) -> None:
    inter = "recbole/dataset_example/ml-100k/ml-100k.inter"
    path = {
        "u.data": lambda: saved(tmp_path / "u.data", U_DATA),
        "ml-100k.inter": lambda: saved(tmp_path / "ml-100k.inter", INTER),
        "folder": lambda: saved(tmp_path / "ml-100k" / "u.data", U_DATA).parent,
        "zip": lambda: archived(tmp_path / "ml-100k.zip", "ml-100k/u.data", U_DATA),
        "wheel": lambda: archived(tmp_path / "recbole-1.2.1.whl", inter, INTER),
    }[name]()
    assert list(read("ml-100k", path)) == RATED


def test_ml_1m_comes_in_time_order_and_equal_times_in_file_order(tmp_path: Path) -> None:
    path = saved(tmp_path / "ratings.dat", "1::5::4::30\n2::6::5::10\r\n1::7::3::10\n\n")
    assert [(event.id, event.time) for event in read("ml-1m", path)] == [
        ("ml-1m:2:6:5.0:10", 10_000),
        ("ml-1m:1:7:3.0:10", 10_000),
        ("ml-1m:1:5:4.0:30", 30_000),
    ]


def test_ader_takes_the_row_for_the_time_and_the_session_for_the_user(tmp_path: Path) -> None:
    path = saved(tmp_path / "period_0.txt", "5 9\n4 8\n5 7\n")
    assert list(read("ader", path)) == [
        Event("ader:1:5:9", "click", 0, 5, 9),
        Event("ader:2:4:8", "click", 1, 4, 8),
        Event("ader:3:5:7", "click", 2, 5, 7),
    ]


def test_ader_periods_follow_each_other_by_number(tmp_path: Path) -> None:
    for period in (10, 2, 0):
        saved(tmp_path / f"period_{period}.txt", f"{period} 1\n")
    saved(tmp_path / "notes.txt", "not a period\n")
    events = list(read("ader", tmp_path))
    assert [(event.user_id, event.time) for event in events] == [(0, 0), (2, 1), (10, 2)]


def ids(form: str, path: Path, *lines: str) -> list[str]:
    return [event.id for event in read(form, saved(path, "".join(f"{line}\n" for line in lines)))]


ONE, TWO = "7::10::5::978300760", "7::20::4::978300999"


@pytest.mark.parametrize(
    ("form", "one", "two"),
    [
        ("ml-1m", ONE, TWO),
        ("ml-1m", ONE, ONE.replace("::5::", "::4::")),
        ("ml-100k", "7\t10\t5\t978300760", "7\t20\t4\t978300999"),
        ("ader", "7 10", "7 20"),
    ],
)
def test_two_events_of_two_files_have_two_ids(
    tmp_path: Path, form: str, one: str, two: str
) -> None:
    assert ids(form, tmp_path / "a", one) != ids(form, tmp_path / "b", two)


def test_an_event_has_the_same_id_in_every_file_that_holds_it(tmp_path: Path) -> None:
    both = ids("ml-1m", tmp_path / "both", TWO, ONE)
    apart = ids("ml-1m", tmp_path / "one", ONE) + ids("ml-1m", tmp_path / "two", TWO)
    assert sorted(both) == sorted(apart)


@pytest.mark.parametrize(
    ("form", "line", "between"),
    [("ml-1m", ONE, TWO), ("ader", "7 10", "7 20")],
)
def test_what_a_user_did_twice_has_two_ids(
    tmp_path: Path, form: str, line: str, between: str
) -> None:
    assert len(set(ids(form, tmp_path / "file", line, between, line))) == 3


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("ml-100k", U_DATA),
        ("ml-1m", "1::5::4::30\n2::6::5::10\n"),
        ("ader", "1 2\n"),
    ],
)
def test_a_file_knows_its_length_and_can_be_read_again(
    tmp_path: Path, form: str, text: str
) -> None:
    events = read(form, saved(tmp_path / "file", text))
    assert list(events) == list(events)
    assert len(events) == len(list(events)) == text.count("\n")


@pytest.mark.parametrize(
    ("form", "line", "found"),
    [
        ("ml-100k", "1::5::4::30", "found '1::5::4::30'"),
        ("ml-100k", "1\t2\t3", r"found '1\\t2\\t3'"),
        ("ml-1m", "1::5::4::inf", "found '1::5::4::inf'"),
        ("ader", "1 2 3", "found '1 2 3'"),
    ],
)
def test_a_foreign_line_is_named_with_its_number(
    tmp_path: Path, form: str, line: str, found: str
) -> None:
    good = {"ml-100k": "1\t2\t3\t4", "ml-1m": "1::2::3::4", "ader": "1 2"}[form]
    path = saved(tmp_path / "file", f"{good}\n\n{line}\n")
    with pytest.raises(DataFileError, match=f"file line 3: expected .*{found}"):
        read(form, path)


@pytest.mark.parametrize(
    ("form", "line", "reason"),
    [
        ("ml-1m", "1::5::nan::30", "bad_value"),
        ("ml-1m", "1::5::inf::30", "bad_value"),
        ("ml-1m", "1::5::4::-1", "bad_time"),
        ("ml-1m", f"1::5::4::{NOW_MS // 1000 + 3601}", "in_the_future"),
        ("ml-1m", f"{2**63}::5::4::1", "bad_user_id"),
        ("ader", f"1 -{2**64}", "bad_item_id"),
    ],
)
def test_an_event_that_the_worker_would_not_accept_is_named_with_its_line(
    tmp_path: Path, form: str, line: str, reason: str
) -> None:
    good = {"ml-1m": "1::2::3::4", "ader": "1 2"}[form]
    path = saved(tmp_path / "file", f"{good}\n\n{good}\n{line}\n")
    with pytest.raises(DataFileError, match=f"file line 4: {reason}: .*nothing was done"):
        read(form, path, max_bytes=1000)
    assert len(read(form, saved(tmp_path / "good", f"{good}\n{good}\n"))) == 2


@pytest.mark.parametrize("form", sorted(DATASETS))
def test_files_that_hold_no_events_are_named(tmp_path: Path, form: str) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF\xff\xfe\x00")
    (tmp_path / "folder").mkdir()
    for name, message in {
        "missing": "does not exist",
        "folder": "holds no|is not a file",
        "binary": "binary line 1: expected",
    }.items():
        with pytest.raises(DataFileError, match=message):
            read(form, tmp_path / name)
    with pytest.raises(DataFileError, match="is empty"):
        read(form, saved(tmp_path / "empty", "\n"))


def test_an_archive_without_the_file_is_named(tmp_path: Path) -> None:
    path = archived(tmp_path / "some.zip", "x/y.txt", "")
    with pytest.raises(DataFileError, match=r"without ratings\.dat"):
        read("ml-1m", path)

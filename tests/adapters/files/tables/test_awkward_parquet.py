"""Parquet as it is found in the wild: each kind of column, and what it gives."""

from __future__ import annotations

import datetime as dt
import gzip
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everfresh.adapters.files.tables import parquet
from everfresh.adapters.files.tables.folders import parts_of
from everfresh.contracts.errors import DataFileError, EverfreshError, MissingDependency
from tests.adapters.files.tables.reading_of import read, rejected, short

T = 1_700_000_000
ONE = [(1, 2, T * 1000)]
MOMENT = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    given = {"user_id": [1], "item_id": [2], "time": [T], "type": ["view"], **columns}
    pq.write_table(pa.table(given), path, **options)
    return path


COLUMNS = {
    "plain": ({}, ONE),
    "dictionary": ({"type": pa.array(["view"]).dictionary_encode()}, ONE),
    "large_string": ({"user_id": pa.array(["1"], pa.large_string())}, [("1", 2, T * 1000)]),
    "text as bytes (Impala)": ({"user_id": pa.array([b"1"])}, [("1", 2, T * 1000)]),
    "small integers": ({"user_id": pa.array([1], pa.int8())}, ONE),
    "uint64": ({"user_id": pa.array([2**63 - 1], pa.uint64())}, [(2**63 - 1, 2, T * 1000)]),
    "uint64 beyond 63 bits": ({"user_id": pa.array([2**63], pa.uint64())}, [(str(2**63), 2)]),
    "integers as floats (pandas)": ({"user_id": [1.0]}, ONE),
    "decimals": ({"user_id": [Decimal("1")], "time": [Decimal(f"{T}.000")]}, ONE),
    "decimals beyond what a float counts": (
        {"user_id": pa.array([2**53 + 1], pa.decimal128(38, 0))},
        [(2**53 + 1, 2, T * 1000)],
    ),
    "timestamp in a zone": ({"time": pa.array([MOMENT], pa.timestamp("ms", "Asia/Tokyo"))}, ONE),
    "nanoseconds in UTC": (
        {"time": pa.array([T * 10**9 + 123], pa.timestamp("ns", tz="UTC"))},
        ONE,
    ),
    "ISO text": ({"time": ["2023-11-14T22:13:20Z"]}, ONE),
    "floats of seconds": ({"time": [float(T)]}, ONE),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_kind_of_column_is_read(tmp_path: Path, kind: str) -> None:
    columns, events = COLUMNS[kind]
    path = written(tmp_path / "e.parquet", columns)
    if kind == "uint64 beyond 63 bits":
        assert short(read(path)) == [(str(2**63), 2, T * 1000)]
    else:
        assert short(read(path)) == events


def test_nested_columns_are_named_with_dots(tmp_path: Path) -> None:
    who = [{"id": 1, "name": "x"}, None]
    path = tmp_path / "e.parquet"
    pq.write_table(
        pa.table({"who": who, "item_id": [2, 3], "time": [T, T], "stars": [4, None]}), path
    )
    found = read(path, user="who.id", value="stars", type="rating", tolerate=0.5)
    assert [(event.user_id, event.item_id, event.value) for event in found] == [(1, 2, 4.0)]
    assert rejected(path) == [(2, "missing_field")]


@pytest.mark.parametrize("kind", ["timestamp", "int96", "date"])
def test_times_without_a_zone_are_asked_for_it(tmp_path: Path, kind: str) -> None:
    naive = MOMENT.replace(tzinfo=None)
    column = {"date": pa.array([naive.date()])}.get(kind, pa.array([naive], pa.timestamp("us")))
    path = written(
        tmp_path / "e.parquet", {"time": column}, use_deprecated_int96_timestamps=kind == "int96"
    )
    with pytest.raises(EverfreshError, match=r"have no zone .*--time-zone, such as UTC"):
        read(path)
    day = kind == "date"
    assert read(path, time_zone="UTC")[0].time == (1_699_920_000_000 if day else T * 1000)
    berlin = read(path, time_zone="Europe/Berlin")[0].time
    assert berlin == (1_699_916_400_000 if day else T * 1000 - 3_600_000)


def test_nulls_and_numbers_that_are_none_are_rejected_by_row(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    rows = {
        "user_id": [1.0, float("nan"), None, 1.5, 1.0],
        "item_id": ["a", "b", "c", "d", None],
        "time": [T] * 5,
        "rating": [3.0, 1.0, 1.0, 1.0, float("nan")],
    }
    pq.write_table(pa.table(rows), path)
    with pytest.raises(EverfreshError, match=r"such as 1\.5"):
        read(path, tolerate=0.9)
    assert len(read(path, tolerate=0.9, user_kind="integer")) == 1
    assert rejected(path) == [
        (2, "missing_field"),
        (3, "missing_field"),
        (4, "bad_user_id"),
        (5, "missing_field"),
    ]


def test_attributes_become_what_json_can_say(tmp_path: Path) -> None:
    columns = {
        "price": [Decimal("1.50")],
        "at": pa.array([MOMENT], pa.timestamp("ms", "UTC")),
        "tags": [["a", "b"]],
        "deep": [{"n": float("nan"), "b": b"x"}],
        "none": pa.array([None], pa.string()),
    }
    path = written(tmp_path / "e.parquet", columns)
    (event,) = read(path, attributes=list(columns))
    assert event.attributes == {
        "price": 1.5,
        "at": "2023-11-14T22:13:20+00:00",
        "tags": ["a", "b"],
        "deep": {"n": None, "b": "x"},
    }


def test_times_and_maps_in_attributes_become_text_and_objects(tmp_path: Path) -> None:
    ns = T * 10**9 + 1
    stamp = pa.timestamp("ns", tz="UTC")
    columns = {
        "day": pa.array([MOMENT.date()]),
        "wall": pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("us")),
        "map": pa.array([[("a", ns), ("b", None)]], pa.map_(pa.string(), stamp)),
        "took": pa.array([1_500_000_001], pa.duration("ns")),
        "clock": pa.array([3_600_000_000_001], pa.time64("ns")),
        "list": pa.array([[ns]], pa.list_(stamp)),
        "deep": pa.array([{"at": ns, "in": [ns]}], pa.struct({"at": stamp, "in": pa.list_(stamp)})),
        "long": pa.array([[ns]], pa.large_list(stamp)),
        "huge": pa.array([Decimal(10) ** 30], pa.decimal128(38, 0)),
        "void": pa.array([None], pa.timestamp("us")),
    }
    path = written(tmp_path / "e.parquet", columns)
    (event,) = read(path, attributes=list(columns))
    at = "2023-11-14T22:13:20+00:00"
    assert event.attributes == {
        "day": "2023-11-14",
        "wall": "2023-11-14T22:13:20",
        "map": {"a": at, "b": None},
        "took": 1.5,
        "clock": "01:00:00",
        "list": [at],
        "deep": {"at": at, "in": [at]},
        "long": [at],
        "huge": 1e30,
    }


def test_a_time_that_no_year_has_is_no_attribute(tmp_path: Path) -> None:
    columns = {"at": pa.array([2**62], pa.timestamp("us"))}
    path = written(tmp_path / "e.parquet", columns)
    with pytest.raises(DataFileError, match="row 1: bad_attribute: no year has the time"):
        read(path, attributes=["at"])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    rows = [pa.array([value]) for value in (1, 3, 2, T)]
    pq.write_table(pa.Table.from_arrays(rows, ["user_id", "user_id", "item_id", "time"]), path)
    with pytest.raises(EverfreshError, match=r"2 columns called 'user_id'; rename one"):
        read(path, type="view")


def test_the_attributes_of_an_event_may_lie_in_one_column(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet", {"attributes": [{"page": "home"}]})
    assert read(path, attributes=["attributes"])[0].attributes == {"page": "home"}


@pytest.mark.parametrize("cut", [-4, -30, 20])
def test_a_damaged_file_is_one_line(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "e.parquet", {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataFileError, match="cannot be read as Parquet: ") as told:
        read(path)
    assert "\n" not in str(told.value)


def test_a_page_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(
        pa.table({"user_id": range(9000), "item_id": range(9000), "time": [T] * 9000}),
        path,
        write_page_checksum=True,
    )
    raw = bytearray(path.read_bytes())
    raw[2000:2400] = b"\xff" * 400
    path.write_bytes(raw)
    with pytest.raises(DataFileError, match=r"cannot be read: .* checksum"):
        read(path, type="view")


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "e.parquet", {})

    def none(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(parquet, "import_module", none)
    with pytest.raises(MissingDependency, match=r"pip install 'everfresh\[parquet\]'"):
        read(path)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for number in (40_000, 160_000):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(
            pa.table({"user_id": range(number), "item_id": [1] * number, "time": [T] * number}),
            path,
        )
        rows = parquet.ParquetTable(path).rows(["user_id", "item_id", "time"])
        tracemalloc.start()
        assert sum(1 for _ in rows) == number
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def part(folder: Path, name: str, **columns: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        given = {"user_id": [1], "item_id": [2], "time": [T], "type": ["view"], **columns}
        pq.write_table(pa.table({k: v for k, v in given.items() if v is not None}), path)
    else:
        row = {"user_id": 1, "item_id": 2, "time": T, "type": "view", **columns}
        text = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def test_a_folder_of_spark_is_its_part_files_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    part(folder, "part-00001.parquet", user_id=[7])
    part(folder, "part-00000.parquet")
    part(folder, ".part-00000.parquet.csv", user_id=8)
    part(folder, "_temporary/part-0.csv", user_id=9)
    for name in ("_SUCCESS", ".part-00000.parquet.crc", "README.md", "empty.csv"):
        (folder / name).write_bytes(b"" if name in {"_SUCCESS", "empty.csv"} else b"what")
    assert short(read(folder)) == [(1, 2, T * 1000), (7, 2, T * 1000)]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder, other = tmp_path / "events", tmp_path / "elsewhere"
    part(folder, "a.csv")
    part(other, "deep/b.csv", user_id=5)
    (other / "back").symlink_to(folder)
    (other / "again").symlink_to(other / "deep")
    (folder / "linked").symlink_to(other)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    assert short(read(folder)) == [(1, 2, T * 1000), (5, 2, T * 1000)]
    left_out = sorted(path.name for path in parts_of(folder)[1])
    assert left_out == ["back", "dangling", "deep"]


def test_folders_of_hive_are_columns(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    part(folder, "kind=view/day=2024-01-01T00%3A00%3A00Z/a.csv.gz", item_id=3)
    part(folder, "kind=click/day=2024-01-02T00%3A00%3A00Z/b.parquet")
    found = read(folder, time="day", type_column="kind")
    assert [(event.type, event.item_id, event.time) for event in found] == [
        ("view", 3, 1_704_067_200_000),
        ("click", 2, 1_704_153_600_000),
    ]
    part(folder, "kind=__HIVE_DEFAULT_PARTITION__/day=2024-01-03T00:00:00Z/c.csv")
    with pytest.raises(DataFileError, match=r"c\.csv line 2: missing_field: type"):
        read(folder, time="day", type_column="kind")


def test_files_of_a_folder_that_are_not_alike_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    part(folder, "a.parquet")
    part(folder, "b.parquet", type=None)
    with pytest.raises(DataFileError, match=r"b.parquet has no column 'type', unlike the first"):
        read(folder)
    part(folder, "b.parquet", user_id=["x"])
    with pytest.raises(DataFileError, match=r"b.parquet row 1: bad_user_id: .*--user-kind text"):
        read(folder)
    assert short(read(folder, user_kind="text")) == [("1", 2, T * 1000), ("x", 2, T * 1000)]
    part(folder, "b.parquet", time=pa.array([MOMENT], pa.timestamp("s", tz="UTC")))
    assert short(read(folder)) == ONE * 2


def test_a_folder_without_a_table_a_pipe_and_nothing_are_named(tmp_path: Path) -> None:
    import os  # noqa: PLC0415

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "_SUCCESS").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "folder": "holds no file of events; expected CSV",
        "pipe": "is no file and no folder .a pipe or a device.; write what it brings into a file",
        "missing": "does not exist",
    }.items():
        with pytest.raises(DataFileError, match=message):
            read(tmp_path / name)


def test_an_event_has_the_same_id_whatever_its_file_and_format(tmp_path: Path) -> None:
    columns = {"user_id": [1, 1, 1], "item_id": ["a"] * 3, "time": [T, T + 1, T]}
    pq.write_table(pa.table({**columns, "rating": [4, 4, 4]}), tmp_path / "e.parquet")
    (tmp_path / "e.csv").write_text(
        f"user_id,item_id,time,rating\n1,a,{T},4\n1,a,{T + 1},4\n1,a,{T},4.0\n"
    )
    line = '{{"type": "rating", "user_id": 1, "item_id": "a", "time": {}000, "value": 4}}\n'
    (tmp_path / "e.jsonl").write_text("".join(line.format(time) for time in (T, T, T + 1)))
    events = read(tmp_path / "e.csv")
    assert len({event.id for event in events}) == 3
    assert read(tmp_path / "e.parquet") == events
    assert read(tmp_path / "e.jsonl") == events
    (tmp_path / "part.csv").write_text(f"user_id,item_id,time,rating\n1,a,{T + 1},4\n")
    assert read(tmp_path / "part.csv") == events[2:]

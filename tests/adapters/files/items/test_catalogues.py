"""Catalogues as they come: which columns are what, how cells become values, what is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everfresh.adapters.files.items.columns import ItemColumns
from everfresh.adapters.files.items.reading import ItemCounts, find_items, read_items
from everfresh.adapters.files.tables.mapping import Mapping
from everfresh.adapters.files.tables.rejects import Rejects
from everfresh.contracts.errors import DataFileError, SettingsError
from everfresh.contracts.items.record import Item

FILMS = (
    "movieId,title,genres,year,code,available,expires\n"
    '1,"Toy Story, the",Animation|Comedy,1995,007,true,2030-01-01T00:00:00Z\n'
    "2,Heat,Crime|Drama,1995,010,false,\n"
    "3,Über,,1996,,,\n"
)


def read(path: Path, tolerate: float = 1.0, **asked: Any) -> tuple[list[Item], ItemCounts]:
    files = find_items(path, "", Mapping(), ItemColumns(**asked))
    counts = ItemCounts(Rejects(None, tolerate, "items"))
    items = list(read_items(files, counts, lambda _: None))
    counts.rejects.judge(counts.rows)
    return items, counts


def written(tmp_path: Path, text: str, name: str = "c.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_csv_becomes_items_by_its_titles_and_first_rows(tmp_path: Path) -> None:
    items, _ = read(written(tmp_path, FILMS), lists={"genres": "|"})
    assert items == [
        Item(
            id=1,
            attributes={
                "title": "Toy Story, the",
                "genres": ["Animation", "Comedy"],
                "year": 1995,
                "code": "007",
            },
            expires=1_893_456_000_000,
        ),
        Item(
            id=2,
            attributes={"title": "Heat", "genres": ["Crime", "Drama"], "year": 1995, "code": "010"},
            available=False,
        ),
        Item(id=3, attributes={"title": "Über", "year": 1996}),
    ]


def test_what_was_guessed_is_said_as_options(tmp_path: Path) -> None:
    files = find_items(written(tmp_path, FILMS), "", Mapping(), ItemColumns())
    assert files.guesses == [
        "--id movieId",
        "--expires expires",
        "--available available",
        "--id-kind integer",
        "--time-unit iso",
    ]


def test_columns_may_be_named_and_kept_as_text(tmp_path: Path) -> None:
    file = written(tmp_path, "a,sku,b,n\nx,01,y,5\n")
    items, _ = read(file, id="a", attributes=("sku", "n"), text=("n",))
    assert items == [Item(id="x", attributes={"sku": "01", "n": "5"})]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2,x,many", "count is a number in the first rows, found 'many'; if it is text"),
        ("1,x,3", "the id 1 stands in line 2 already"),
        ("x,x,3", "id is an integer in this table, found 'x'; to keep all as text, say --id-kind"),
        (",x,3", "id is missing"),
        ("2,x", "3 cells expected, found 2"),
    ],
)
def test_a_wrong_row_is_rejected_by_line_and_the_others_are_read(
    row: str, why: str, tmp_path: Path
) -> None:
    good = "".join(f"{n},a,{n}\n" for n in range(10, 1_100))
    file = written(tmp_path, f"item_id,name,count\n1,a,1\n{good}{row}\n5,b,2\n")
    items, counts = read(file)
    assert (len(items), counts.rejects.count) == (1_092, 1)
    with pytest.raises(DataFileError) as caught:
        read(file, tolerate=0.0)
    assert "c.csv line 1093: " in str(caught.value)
    assert why in str(caught.value)
    assert "cannot become items" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,price\na,1\n", "no column titled as an id"),
        ("item_id,sku\n1,a\n", "several columns that may be the id ('item_id', 'sku')"),
        ("item_id,a b,a_b\n1,a,b\n", "would be one attribute 'a_b'"),
        ("item_id,expires\n1,2024-01-01 00:00\n", "have no zone"),
        ("item_id,expires\n1,7\n", "cannot be told; name it with --time-unit"),
        ('item_id,expires\n1,"1704067200,5"\n', "comma before fractions; write a point there"),
    ],
)
def test_what_leaves_a_doubt_is_asked(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(written(tmp_path, text))
    assert why in str(caught.value)


def test_json_lines_may_nest_and_have_fields_that_come_late(tmp_path: Path) -> None:
    lines = '{"sku":"a","meta":{"brand":"X"},"tags":["p",1]}\n{"sku":"b","late":"5","gone":null}\n'
    items, _ = read(written(tmp_path, lines, "c.jsonl"))
    assert items == [
        Item(id="a", attributes={"meta.brand": "X", "tags": ["p", 1]}),
        Item(id="b", attributes={"late": "5"}),
    ]


def test_what_items_get_prints_can_be_loaded(tmp_path: Path) -> None:
    lines = (
        '{"id":7,"attributes":{"title":"x"},"expires":5,"available":false}\n'
        '{"id":8,"attributes":{"a b":1}}\n{"id":9}\n'
    )
    items, counts = read(written(tmp_path, lines, "c.jsonl"))
    assert items == [
        Item(id=7, attributes={"title": "x"}, expires=5, available=False),
        Item(id=9),
    ]
    assert counts.rejects.count == 1


def test_parquet_keeps_its_types_and_its_times(tmp_path: Path) -> None:
    at = pa.array([1_704_067_200_000_000, None], pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "item_id": ["7", "8"],
            "tags": [["a", "b"], None],
            "added": at,
            "expires": at,
            "meta": [{"x": 1.5}, {"x": None}],
            "embedding": [[1.0, 2.0], None],
            "number_as_text": ["12", "13"],
        }
    )
    pq.write_table(table, tmp_path / "c.parquet")
    items, _ = read(tmp_path / "c.parquet")
    known = {"tags": ["a", "b"], "added": 1_704_067_200_000, "meta.x": 1.5, "number_as_text": "12"}
    assert items == [
        Item(id="7", attributes=known, expires=1_704_067_200_000, embedding=[1.0, 2.0]),
        Item(id="8", attributes={"number_as_text": "13"}),
    ]


def test_the_files_of_a_folder_are_one_catalogue(tmp_path: Path) -> None:
    written(tmp_path, "item_id,name\n1,a\n", "a.csv")
    written(tmp_path, "name,item_id,more\nb,2,x\n", "b.csv")
    items, _ = read(tmp_path)
    assert items == [
        Item(id=1, attributes={"name": "a"}),
        Item(id=2, attributes={"name": "b", "more": "x"}),
    ]


def test_words_that_stand_for_nothing_elsewhere_are_titles_and_no_numbers(tmp_path: Path) -> None:
    rows = "1,NA,1995\n2,None,NA\n3,null,\n4,,NaN\n"
    items, _ = read(written(tmp_path, f"id,title,year\n{rows}"))
    assert [item.attributes for item in items] == [
        {"title": "NA", "year": 1995},
        {"title": "None"},
        {"title": "null"},
        {},
    ]


def test_csv_tells_no_kinds_that_could_be_mixed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="so --id-kind mixed says nothing"):
        read(written(tmp_path, "id,title\n1,x\n"), id_kind="mixed")


def test_another_encoding_is_named_as_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_bytes("id,title\n1,café\n".encode("latin-1"))
    with pytest.raises(DataFileError, match=r"line 2: not_text: title: bytes .*--encoding"):
        read(file, tolerate=0.0)

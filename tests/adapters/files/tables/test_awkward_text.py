"""CSV and JSON lines as they are found in the wild: each fault, and what it gives."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from everfresh.adapters.files.tables import recognition
from everfresh.adapters.files.tables.mapping import TimeUnit
from everfresh.adapters.files.tables.recognition import zstd
from everfresh.contracts.errors import DataFileError, EverfreshError
from tests.adapters.files.tables.reading_of import read, rejected, short

HEAD = "user_id,item_id,time,type\n"
T = 1_700_000_000
ONE = [(1, 2, T * 1000)]


def saved(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


READABLE = {
    "plain": (f"{HEAD}1,2,{T},view\n", ONE),
    "byte order mark": (f"\ufeff{HEAD}1,2,{T},view\n", ONE),
    "UTF-16 of a spreadsheet": (f"{HEAD}1,2,{T},view\n".encode("utf-16"), ONE),
    "line ends of Windows": (f"{HEAD}1,2,{T},view\n".replace("\n", "\r\n"), ONE),
    "line ends of an old Mac": (f"{HEAD}1,2,{T},view\n".replace("\n", "\r"), ONE),
    "no end of the last line": (f"{HEAD}1,2,{T},view", ONE),
    "blank lines": (f"\n{HEAD}\n1,2,{T},view\n\n\n", ONE),
    "semicolons": (f"{HEAD}1,2,{T},view\n".replace(",", ";"), ONE),
    "tabs": (f"{HEAD}1,2,{T},view\n".replace(",", "\t"), ONE),
    "pipes": (f"{HEAD}1,2,{T},view\n".replace(",", "|"), ONE),
    "spaces behind commas": (f"{HEAD}1, 2, {T}, view\n".replace(",u", ", u"), ONE),
    "quotes around all": (f'"user_id","item_id","time","type"\n"1","2","{T}","view"\n', ONE),
    "other titles": (f"visitorid,itemId,Timestamp,event\n1,2,{T},view\n", ONE),
    "titles with kinds (RecBole)": (
        f"user_id:token\titem_id:token\ttimestamp:float\ttype:token\n1\t2\t{T}.0\tview\n",
        ONE,
    ),
    "header again (concatenated)": (f"{HEAD}1,2,{T},view\n{HEAD}", ONE),
    "brackets around titles": (f"[user_id],[item_id],[time],[type]\n1,2,{T},view\n", ONE),
    "a spreadsheet's sep=": (f"sep=;\n{HEAD}1,2,{T},view\n".replace(",", ";"), ONE),
    "a frame without data before zstd": (
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd.compress(f"{HEAD}1,2,{T},view\n".encode()),
        ONE,
    ),
    "a comma in an unused cell": (f'{HEAD[:-1]},title\n1,2,{T},view,"a, b"\n', ONE),
    "a line end in a cell": (f'{HEAD[:-1]},title\n1,2,{T},view,"a\nb"\n', ONE),
    "a cell of 300,000 signs": (f"{HEAD[:-1]},title\n1,2,{T},view,{'x' * 300_000}\n", ONE),
    "Latin-1 in an unused cell": (f"{HEAD[:-1]},title\n1,2,{T},view,".encode() + b"caf\xe9\n", ONE),
    "ids as floats (pandas)": (f"{HEAD}1.0,2.0,{T},view\n", ONE),
    "text ids": (f"{HEAD}u7,007,{T},view\n", [("u7", "007", T * 1000)]),
    "ids beyond 64 bits are text": (f"{HEAD}{2**64},2,{T},view\n", [(str(2**64), 2, T * 1000)]),
    "times as floats": (f"{HEAD}1,2,{T}.25,view\n", [(1, 2, T * 1000 + 250)]),
    "times as 1.7e9": (f"{HEAD}1,2,1.7e9,view\n", ONE),
    "milliseconds": (f"{HEAD}1,2,{T}123,view\n", [(1, 2, T * 1000 + 123)]),
    "microseconds": (f"{HEAD}1,2,{T}123456,view\n", [(1, 2, T * 1000 + 123)]),
    "nanoseconds": (f"{HEAD}1,2,{T}123456789,view\n", [(1, 2, T * 1000 + 123)]),
    "ISO 8601": (f"{HEAD}1,2,2023-11-14T22:13:20Z,view\n", ONE),
    "ISO 8601 with an offset": (f"{HEAD}1,2,2023-11-14T23:13:20.000+01:00,view\n", ONE),
    "UTC behind it (BigQuery)": (f"{HEAD}1,2,2023-11-14 22:13:20 UTC,view\n", ONE),
    "not in the order of times": (
        f"{HEAD}1,2,{T + 1},view\n1,3,{T},view\n",
        [(1, 3, T * 1000), (1, 2, T * 1000 + 1000)],
    ),
}


@pytest.mark.parametrize("fault", READABLE)
def test_what_has_one_meaning_is_read(tmp_path: Path, fault: str) -> None:
    content, events = READABLE[fault]
    assert short(read(saved(tmp_path / "events.csv", content))) == events


@pytest.mark.parametrize("fault", ["plain", "header again (concatenated)"])
@pytest.mark.parametrize("packed", [gzip.compress, zstd.compress])
def test_compressed_files_are_told_by_their_bytes(tmp_path: Path, fault: str, packed) -> None:  # type: ignore[no-untyped-def]
    content, events = READABLE[fault]
    assert isinstance(content, str)
    # Two members, as `cat a.gz b.gz` makes them; the name says something else.
    both = packed(content.encode()) + packed(content.encode())
    assert short(read(saved(tmp_path / "events.parquet", both))) == events * 2


ASKED = {
    "nobody says what users did": ("user_id,item_id,time\n1,2,3\n", "--type view"),
    "two columns that may be the user": (
        f"user_id,session_id,item_id,time,type\n1,1,2,{T},view\n",
        "several columns that may be the user .*'user_id', 'session_id'",
    ),
    "no header": (f"1,2,{T},view\n3,2,{T},view\n", "no header .*--no-header .*--user 1"),
    "times with no zone": (f"{HEAD}1,2,2024-01-01 10:00:00,view\n", "no zone; .*--time-zone"),
    "times of no known unit": (f"{HEAD}1,2,12345,view\n", "unit of times such as '12345'"),
    "times of two units": (f"{HEAD}1,2,{T},view\n1,2,{T}000,view\n", "cannot be told"),
    "dates that may be American": (f"{HEAD}1,2,01/02/2024,view\n", "'01/02/2024' are no ISO 8601"),
    "text among integers": (
        f"{HEAD}1,2,{T},view\n3,2,{T},view\nx,2,{T},view\n",
        "user_id is an integer in some rows and text in others, such as 'x'",
    ),
    "one column": ("user item time\n1 2 3\n", "--delimiter"),
    "nothing": ("", "is empty"),
    "blank lines alone": ("\n \n", "is empty"),
    "a header alone": (HEAD, "no rows but a header"),
    "a header that is no CSV": (f'"user_id"x,item_id,time\n1,2,{T}\n', "line 1 is not CSV"),
    "a header with a quote that is not closed": ('"user_id,item_id\n1,2\n', "line 1 is not CSV"),
    "a type twice": (f"{HEAD[:-1]},type\n1,2,{T},view,view\n", "2 columns called 'type'; rename"),
    "Parquet within gzip": (gzip.compress(b"PAR1" + bytes(20)), "Parquet within gzip; unpack it"),
    "a title twice": (
        f"user_id,user_id,item_id,time,type\n1,1,2,{T},view\n",
        "2 columns called 'user_id'",
    ),
    "zip": (b"PK\x03\x04....", "a zip archive; unpack it first"),
    "an SQLite database": (b"SQLite format 3\x00...", "an SQLite database; export"),
    "an unknown binary": (b"\x7fELF\x00\x00", "neither text nor Parquet"),
    "JSON without an object": ("{]\n{]\n", "line 1: expected a JSON object"),
    "a JSON array": ('[{"user_id": 1}]', "a JSON array is no JSON lines"),
    "a part of gzip": (gzip.compress(HEAD.encode() * 99)[:-9], "it was cut off; fetch it again"),
    "a part of zstd": (zstd.compress(HEAD.encode() * 99)[:-3], "it was cut off; fetch it again"),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 40, "is damaged"),
}


@pytest.mark.parametrize("fault", ASKED)
def test_what_is_not_certain_is_asked_in_one_line(tmp_path: Path, fault: str) -> None:
    content, message = ASKED[fault]
    path = saved(tmp_path / "events.csv", content)
    with pytest.raises(EverfreshError, match=message) as told:
        read(path)
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)


GOOD = f"1,2,{T},view\n"
WRONG = {
    "an empty id": (f",2,{T},view", "missing_field"),
    "NULL as an id": (f"1,NULL,{T},view", "missing_field"),
    "NaN as an id": (f"NaN,2,{T},view", "missing_field"),
    "text where ids are integers": (f"x,2,{T},view", "bad_user_id"),
    "an integer of 5,000 digits": (f"{'9' * 5000},2,{T},view", "bad_user_id"),
    "an integer of 65 bits": (f"{2**64},2,{T},view", "bad_user_id"),
    "a leading zero": (f"1,02,{T},view", "bad_item_id"),
    "no time": ("1,2,,view", "missing_field"),
    "time zero": ("1,2,0,view", "bad_time"),
    "a negative time": ("1,2,-5,view", "bad_time"),
    "a time in another unit": (f"1,2,{T}000,view", "bad_time"),
    "a time that is no number": ("1,2,soon,view", "bad_time"),
    "an infinite time": ("1,2,inf,view", "bad_time"),
    "a time beyond all bounds": ("1,2,1e300,view", "bad_time"),
    "no type": (f"1,2,{T},", "missing_field"),
    "an unknown type": (f"1,2,{T},addtocart", "unknown_type"),
    "too few cells": (f"1,2,{T}", "not_a_row"),
    "too many cells": (f"1,2,{T},view,5", "not_a_row"),
    "a quote inside a cell": (f'1,2,{T},"vi"ew', "not_a_row"),
    "Latin-1 in a type": (f"1,2,{T},caf".encode() + b"\xe9", "not_text"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_row_is_refused_with_its_line_and_can_be_tolerated(
    tmp_path: Path, fault: str
) -> None:
    row, reason = WRONG[fault]
    raw = row.encode() if isinstance(row, str) else row
    # Behind the rows by which is guessed, so that the guesses stand.
    good = (HEAD + GOOD * 1000).encode()
    path = saved(tmp_path / "events.csv", good + raw + b"\n" + GOOD.encode())
    with pytest.raises(DataFileError, match=f"csv line 1002: {reason}: .*1 of 1,002 rows") as told:
        read(path)
    assert "\n" not in str(told.value)
    assert len(read(path, tolerate=0.001)) == 1001
    assert rejected(path) == [(1002, reason)]
    with pytest.raises(DataFileError, match=reason):
        read(path, tolerate=0.0009)


def test_a_quote_that_is_not_closed_names_the_lines_that_it_swallowed(tmp_path: Path) -> None:
    path = saved(tmp_path / "events.csv", HEAD + GOOD + f'1,2,{T},"view\n' + GOOD * 2)
    with pytest.raises(DataFileError, match="line 3: not_a_row: lines 3 to 5 are not CSV"):
        read(path)
    assert len(read(path, quotes=False, tolerate=0.5)) == 3


@pytest.mark.parametrize("end", ["", f'1,2,{T},"view"\n', f'1,2,{T},view,"x"\n'])
def test_every_line_that_a_quote_swallowed_counts_as_a_wrong_row(tmp_path: Path, end: str) -> None:
    """One in a thousand may be wrong; a quote that took half of the file is not one row."""
    text = HEAD + GOOD * 500 + f'1,2,{T},"view\n' + GOOD * 499 + end
    path = saved(tmp_path / "events.csv", text)
    with pytest.raises(DataFileError, match=r"not_a_row: .*; 50[01] of 1,00[01] rows"):
        read(path, tolerate=0.4)
    assert len(read(path, tolerate=0.6)) == 500
    assert [line for line, _ in rejected(path)] == list(range(502, 1002 + bool(end)))


def test_words_that_stand_for_nothing_elsewhere_are_kept_as_attributes(tmp_path: Path) -> None:
    """`NA` is Namibia, and `None` a film."""
    words = ["NA", "None", "null", "nan", "NaN", "", "NULL", "\\N"]
    rows = "".join(f"1,2,{T},view,{word}\n" for word in words)
    path = saved(tmp_path / "events.csv", f"{HEAD[:-1]},country\n{rows}")
    kept = [event.attributes for event in read(path, attributes=["country"])]
    assert kept == [{"country": word} for word in words[:5]] + [None] * 3


def test_names_and_units_that_are_given_are_taken_as_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"who|what|when|did|stars|page\n7|8|{T}|1|4.5|home\n")
    (event,) = read(
        path,
        user="who",
        item="what",
        time="when",
        time_unit="s",
        type_column="did",
        types={"1": "rating"},
        value="stars",
        attributes=["page"],
        user_kind="text",
    )
    assert (event.user_id, event.item_id, event.type, event.value) == ("7", 8, "rating", 4.5)
    assert event.attributes == {"page": "home"}


def test_a_file_without_a_header_has_numbers_for_titles(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"1,2,{T}\n3,4,{T}\n")
    found = read(path, header=False, user="1", item="2", time="3", type="view")
    assert short(found) == [(1, 2, T * 1000), (3, 4, T * 1000)]


def test_latin_1_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"{HEAD}é,2,{T},view\n".encode("latin-1"))
    with pytest.raises(DataFileError, match=r"not_text: .*--encoding"):
        read(path)
    assert short(read(path, encoding="latin-1")) == [("é", 2, T * 1000)]


def test_a_comma_before_fractions_is_read_where_it_is_named(tmp_path: Path) -> None:
    rows = f"1;2;{T};rating;3,5\n1;2;{T + 1};rating;4\n1;2;{T + 2};rating;\n"
    path = saved(tmp_path / "events.csv", f"{HEAD[:-1].replace(',', ';')};stars\n{rows}")
    events = read(path, value="stars", decimal=",")
    assert [event.value for event in events] == [3.5, 4.0, None]
    with pytest.raises(DataFileError, match=r"bad_value: .*'3,5'; .*--decimal ,"):
        read(path, value="stars")
    with pytest.raises(EverfreshError, match="decimal is a point or a comma, found ';'"):
        read(path, value="stars", decimal=";")


@pytest.mark.parametrize("unit", ["", "s"])
def test_a_comma_before_fractions_of_times_is_read_where_it_is_named(
    unit: TimeUnit, tmp_path: Path
) -> None:
    rows = f"1;2;{T},25;view\n1;2;{T + 1};view\n"
    path = saved(tmp_path / "events.csv", HEAD.replace(",", ";") + rows)
    events = read(path, decimal=",", time_unit=unit)
    assert [event.time for event in events] == [T * 1000 + 250, T * 1000 + 1000]
    said = r"bad_time: .*,25'" if unit else r",25' have a comma before fractions; say --decimal ,"
    with pytest.raises(EverfreshError, match=said):
        read(path, time_unit=unit)


def test_a_point_among_commas_is_no_guess(tmp_path: Path) -> None:
    rows = f'1;2;{T};rating;"1.234,5"\n'
    path = saved(tmp_path / "events.csv", f"{HEAD[:-1].replace(',', ';')};stars\n{rows}")
    with pytest.raises(DataFileError, match=r"bad_value: .*'1\.234,5'"):
        read(path, value="stars", decimal=",")


def test_all_types_that_are_not_known_are_named_at_once(tmp_path: Path) -> None:
    rows = "".join(f"1,2,{T},{name}\n" for name in ("seen", "bought", "view", "seen"))
    path = saved(tmp_path / "events.csv", HEAD + rows)
    with pytest.raises(DataFileError, match=r"\(not known are 'seen', 'bought'\); 3 of 4 rows"):
        read(path)


def test_zones_of_several_kinds_in_one_file(tmp_path: Path) -> None:
    """Two programs wrote it, over the end of summer time."""
    times = [
        "2023-10-29T02:30:00+02:00",
        "2023-10-29 02:30:00+0100",
        "2023-10-29T01:45:00Z",
        "2023-10-29 01:50:00 UTC",
    ]
    rows = "".join(f"1,{at},{moment},view\n" for at, moment in enumerate(times))
    path = saved(tmp_path / "events.csv", HEAD + rows)
    begin = 1_698_539_400_000
    hour = 3_600_000
    assert short(read(path)) == [
        (1, 0, begin),
        (1, 1, begin + hour),
        (1, 2, begin + hour + 15 * 60_000),
        (1, 3, begin + hour + 20 * 60_000),
    ]


def test_a_zone_that_is_named_is_that_of_times_without_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"{HEAD}1,2,2023-11-14 23:13:20,view\n")
    assert short(read(path, time_zone="Europe/Berlin")) == ONE
    assert short(read(path, time_zone="+01:00")) == ONE


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"{HEAD}1,2,{T},view\n")
    with pytest.raises(EverfreshError, match=r"no column 'usr' for --user .*'user_id', 'item_id'"):
        read(path, user="usr")
    with pytest.raises(EverfreshError, match=r"no column '1' .*needs --no-header"):
        read(path, user="1")


def test_a_line_without_an_end_is_no_row_and_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "MAX_LINE", 1000)
    bomb = gzip.compress(HEAD.encode() + b"x" * 10_000_000)
    path = saved(tmp_path / "e.csv.gz", bomb)
    with pytest.raises(DataFileError, match="line 2 is longer than 1,000 characters"):
        read(path)


def test_where_all_is_wrong_it_ends_after_a_thousand_rows(tmp_path: Path) -> None:
    rows = (f"1,2,{T},view\n" * 1000) + (f"x,2,{T},view\n" * 5000)
    path = saved(tmp_path / "e.csv", HEAD + rows)
    with pytest.raises(DataFileError, match="1,000 rows and maybe more"):
        read(path)
    assert len(rejected(path)) == 1000


JSON = f'{{"userId": 1, "movie": {{"id": 2}}, "timestamp": {T}, "event": "view"}}\n'


def test_json_lines_of_another_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.json", "\ufeff" + JSON + "\n" + JSON.replace("1,", '"x",', 1))
    with pytest.raises(EverfreshError, match="integer in some rows and text in others"):
        read(path, item="movie.id")
    found = read(path, item="movie.id", user_kind="text")
    assert short(found) == [("1", 2, T * 1000), ("x", 2, T * 1000)]
    found = read(path, item="movie.id", user_kind="mixed")
    assert short(found) == [(1, 2, T * 1000), ("x", 2, T * 1000)]


def test_csv_tells_no_kinds_that_could_be_mixed(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", f"{HEAD}1,2,{T},view\n")
    with pytest.raises(
        EverfreshError, match="CSV does not tell integers from text, so --user-kind"
    ):
        read(path, user_kind="mixed")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not_json"),
        ("[1]", "not_json"),
        ('{"a":' * 100_000, "not_json"),
        (JSON.replace("1,", "1.5,", 1).strip(), "bad_user_id"),
        (JSON.replace("1,", "true,", 1).strip(), "bad_user_id"),
        (JSON.replace("1,", "null,", 1).strip(), "missing_field"),
        (JSON.replace("userId", "user").strip(), "missing_field"),
        (JSON.replace(str(T), '"never"').strip(), "bad_time"),
        (JSON.replace(str(T), "9" * 310).strip(), "bad_time"),
    ],
)
def test_a_wrong_line_of_json_is_refused_with_its_number(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = saved(tmp_path / "e.json", JSON * 1000 + line + "\n")
    with pytest.raises(DataFileError, match=f"line 1001: {reason}: "):
        read(path, item="movie.id")


def test_events_as_the_stream_has_them_keep_their_ids_in_compressed_files(tmp_path: Path) -> None:
    lines = (
        f'{{"type": "view", "user_id": 1, "item_id": "a", "time": {T}000, "id": "mine"}}\n'
        f'{{"type": "view", "user_id": 1, "item_id": "a", "time": {T}000}}\n'
    )
    plain = read(saved(tmp_path / "e.jsonl", lines), form="jsonl")
    assert read(saved(tmp_path / "e.jsonl.gz", gzip.compress(lines.encode()))) == plain
    assert read(tmp_path / "e.jsonl") == plain
    assert plain[0].id == "mine"


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("a", "1::5::4::1000\n", "ml-1m:1:5:4.0:1000"),
        (
            "b",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t5\t4\t1000\n",
            "ml-100k:1:5:4.0:1000",
        ),
    ],
)
def test_published_files_are_told_by_their_first_line(
    tmp_path: Path, name: str, text: str, first: str
) -> None:
    assert read(saved(tmp_path / name, text))[0].id == first


def test_the_list_of_rejected_rows_is_text_whatever_the_row_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", (HEAD + GOOD * 3).encode() + b"1,2,\xff,view\n")
    with pytest.raises(DataFileError, match="line 5"):
        read(path, time_unit="s")
    assert re.search(r"udcff", (tmp_path / "rejects.jsonl").read_text())

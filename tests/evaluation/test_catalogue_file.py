"""A catalogue beside events: known as it is published, and ranked with the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.contracts.errors import DataFileError
from everfresh.contracts.items.record import Item, encode_item
from everfresh.contracts.settings import load_settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.evaluation.catalogue_file import read_contents
from everfresh.evaluation.comparison import Comparison, compare
from everfresh.evaluation.results import ResultLine, WindowScore
from tests.model.streams import example
from tests.trainer.small_settings import SMALL


def windows() -> list[TrainingWindow]:
    made = []
    for at in range(4):
        examples: list[DecodedExample] = [
            example(1_000 * at + user, [], [1 + (user * 7 + n) % 40 for n in range(5)])
            for user in range(20)
        ]
        examples.append(example(1_000 * at + 99, [1], [50 + at]))
        made.append(TrainingWindow(at, {}, examples, {}))
    return made


def write(folder: Path, rows: list[str]) -> Path:
    file = folder / "items.csv"
    file.write_text("item_id,kind\n" + "".join(f"{row}\n" for row in rows))
    return file


def test_a_window_knows_what_is_published_by_its_end(tmp_path: Path) -> None:
    late = max(t.time for each in windows()[2].examples for t in each.targets)
    file = tmp_path / "items.jsonl"
    records = [
        Item(id=n, attributes={"kind": "a"}, published=at)
        for n, at in ((1, 1), (2, late), (3, late + 1))
    ]
    file.write_bytes(b"".join(encode_item(each) + b"\n" for each in records))
    contents = read_contents(file)
    assert list(contents(late - 1)) == [1]
    assert list(contents(late)) == [2, 1]
    assert list(contents(late + 1)) == [3, 2, 1]


def test_a_wrong_row_ends_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="stands in line 2 already"):
        read_contents(write(tmp_path, ["1,a", "1,b"]))


def test_items_without_events_are_ranked_by_what_they_are(tmp_path: Path) -> None:
    file = write(tmp_path, [f"{n},k{n % 3}" for n in range(1, 60)])
    settings = load_settings({"home": str(tmp_path), **SMALL})
    scores: dict[bool, list[WindowScore]] = {}
    for known in (False, True):
        lines: list[ResultLine] = []
        contents = read_contents(file) if known else lambda end_ms: {}
        comparison = Comparison.of(windows(), exclude_seen=True, contents=contents)
        compare(comparison, ["finetune"], settings, lines.append)
        scores[known] = [
            line for line in lines if isinstance(line, WindowScore) and line.contender == "finetune"
        ]
    assert [each.scores for each in scores[True]] != [each.scores for each in scores[False]]
    assert [each.events for each in scores[True]] == [each.events for each in scores[False]]

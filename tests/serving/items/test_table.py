"""What the columns say is what the last records said; times pass without a record."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from everfresh.contracts.items.record import Item
from everfresh.contracts.items.rules import Filter
from everfresh.serving.items import table as module
from everfresh.serving.items.columns import FIRST, Labels
from everfresh.serving.items.filters import fits
from everfresh.serving.items.table import ItemTable
from tests.serving.items.shop import change, removal


def table_of(*changes: Any, most: int = 100_000, unlisted: bool = True) -> ItemTable:
    made = ItemTable(most, unlisted=unlisted)
    for each in changes:
        made.put(each)
    return made


def fitting(table: ItemTable, **asked: Any) -> list[int]:
    """Which of the items 0, 1, 2… fit."""
    return np.flatnonzero(fits(Filter(**asked), table)[FIRST:]).tolist()


B = Filter(attribute="tags", equals="b")
FILMS = (
    change(0, genre="drama", tags=["a", "b"], year=1990, hd=True),
    change(1, genre="crime", tags=["b"], year=1995, hd=False),
    change(2, genre=7, tags=["7", 7], year="1995"),
    change(3, published=50, expires=90),
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"attribute": "genre", "equals": "drama"}, [0]),
        ({"attribute": "genre", "equals": 7}, [2]),
        ({"attribute": "genre", "equals": "7"}, []),
        ({"attribute": "tags", "equals": "b"}, [0, 1]),
        ({"attribute": "tags", "equals": 7}, [2]),
        ({"attribute": "tags", "equals": "7"}, [2]),
        ({"attribute": "tags", "any_of": ("a", 7, "nothing")}, [0, 2]),
        ({"attribute": "hd", "equals": True}, [0]),
        ({"attribute": "hd", "equals": 1}, []),
        ({"attribute": "year", "equals": 1995}, [1]),
        ({"attribute": "year", "any_of": (1990, 1995, "1995")}, [0, 1, 2]),
        ({"attribute": "year", "at_least": 1990, "at_most": 1994.5}, [0]),
        ({"attribute": "year", "at_least": 1990.5}, [1]),
        ({"attribute": "genre", "at_most": 7}, [2]),
        ({"attribute": "published", "at_most": 50}, [3]),
        ({"attribute": "expires", "at_least": 91}, []),
        ({"attribute": "unheard", "equals": 1}, []),
        ({"none": (Filter(attribute="unheard", equals=1),)}, [0, 1, 2, 3]),
        ({"none": (B, Filter(attribute="genre", equals=7))}, [3]),
        ({"any": (Filter(attribute="genre", equals=7), B)}, [0, 1, 2]),
        ({"all": (B, Filter(attribute="year", at_most=1990))}, [0]),
    ],
)
def test_a_filter_finds_what_the_records_say(asked: dict[str, Any], expected: list[int]) -> None:
    assert fitting(table_of(*FILMS), **asked) == expected


def test_whatever_comes_in_which_order_the_last_record_of_an_item_counts() -> None:
    """Against a plain dict, with items that come, change and go; also beyond the first room."""
    dice, table, known = random.Random(3), ItemTable(100_000, unlisted=True), dict[int, Any]()
    for _ in range(6_000):
        item = dice.randrange(2_500)
        said = {
            "tags": dice.sample("abcdef", dice.randint(0, 4)),
            "n": dice.choice([dice.randrange(5), "text", True]),
        }
        record = removal(item) if dice.random() < 0.2 else change(item, **said)
        table.put(record)
        known[item] = record.item
    for name, value in (("tags", "c"), ("n", 3), ("n", "text"), ("n", True)):
        found = fits(Filter(attribute=name, equals=value), table)
        for item, record in known.items():
            its = record.attributes[name] if record else []
            wanted = (
                value in its
                if isinstance(its, list)
                else (its, type(its))
                == (
                    value,
                    type(value),
                )
            )
            assert found[table.slot(item)] == wanted
    assert [bool(table.live.values[table.slot(item)]) for item in known] == [
        record is not None for record in known.values()
    ]


def test_labels_that_nobody_has_any_more_leave_no_trace() -> None:
    labels = Labels(10)
    for at in range(10_000):
        labels.put(at % 10, [f"label {at}", f"other {at}"])
    assert len(labels._labels) <= 2 * 10 + 3
    assert labels.code("label 0") == 0
    assert set(labels.at(9)) == {"label 9999", "other 9999"}


def test_an_item_is_shown_from_its_publication_until_it_expires_without_any_record() -> None:
    table = table_of(change("a", published=50, expires=90), change("b", expires=70), change("c"))

    def shown(now: int) -> list[str]:
        table.advance(now)
        return [item for item in "abc" if table.live.values[table.slot(item)]]

    assert shown(10) == ["b", "c"]
    assert shown(49) == ["b", "c"]
    assert shown(50) == ["a", "b", "c"]
    assert shown(69) == ["a", "b", "c"]
    assert shown(70) == ["a", "c"]
    assert shown(90) == ["c"]
    assert shown(10) == ["c"], "a clock that is put back changes nothing"


def test_times_far_ahead_and_records_of_later_come_true_too() -> None:
    table = table_of(change(1, expires=10**9))
    assert table.advance(1_000) == []
    table.put(change(2, expires=1_500))
    table.put(change(3, published=2_000_000))
    assert table.advance(1_400) == []
    assert table.advance(1_500) == [(2, table.slot(2))]
    assert table.advance(2_000_000) == [(3, table.slot(3))]
    assert table.advance(10**9) == [(1, table.slot(1))]
    table.put(change(1))
    assert table.live.values[table.slot(1)]


def test_an_expiry_that_a_later_record_took_back_takes_nothing_out() -> None:
    table = table_of(change(1, expires=5_000))
    table.advance(1_000)
    table.put(change(1))
    assert table.advance(6_000) == []
    assert table.live.values[table.slot(1)]


def test_there_is_room_for_so_many_items_and_no_more() -> None:
    table = table_of(*(change(n) for n in range(5)), most=3)
    assert len(table) == 3
    assert table.put(removal(9)) is None
    assert table.put(removal(1)) is not None
    assert not table.live.values[table.slot(1)]


def test_a_flood_of_kinds_of_attributes_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 5)
    table = table_of(*(change(n, **{f"a{n}": 1}) for n in range(10)))
    assert len(table) == 3  # published and expires are two of them
    assert table.put(change("x", a0="text")) is not None


def test_a_long_text_is_not_kept_and_does_no_harm() -> None:
    table = table_of(change(0, about="x" * 4_000, title="short"))
    assert fitting(table, attribute="title", equals="short") == [0]
    assert fitting(table, attribute="about", equals="x" * 4_000) == []


def test_a_record_costs_the_same_however_many_there_are() -> None:
    """Counted in what is written: no array is copied while there is room."""
    table = table_of(*(change(n, kind=f"k{n % 7}", n=n) for n in range(1_000)))
    arrays = [table.live.values, table.numbers["n"].values, table.labels["kind"].layers[0].values]
    table.put(change(5, kind="k1", n=3))
    assert arrays[0] is table.live.values
    assert arrays[1] is table.numbers["n"].values
    assert arrays[2] is table.labels["kind"].layers[0].values
    assert Item(id=1).available

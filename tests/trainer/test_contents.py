"""What training knows of items: by the log's time, the newest first, whatever was read when."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from everfresh.adapters.memory_items import MemoryItemLog, MemoryItemSource
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.items.record import Item, ItemChange
from everfresh.contracts.manifest import NEWER_FORMAT
from everfresh.contracts.ports import ItemSource
from everfresh.contracts.settings import Settings, load_settings
from everfresh.trainer.contents import ItemContents
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import SMALL


class Shop:
    """A topic of items, and what is read of it."""

    def __init__(self, home: Path, **items: object) -> None:
        self.log = MemoryItemLog()
        self.settings: Settings = load_settings(
            {"home": str(home), "windows": {"seconds": 2.0}, "items": items}
        )
        self.contents = self.reader()

    def reader(self) -> ItemContents:
        def opened(begin: int) -> ItemSource:
            return MemoryItemSource(self.log, begin)

        return ItemContents(opened, self.settings)

    def put(self, at_ms: int, *items: int, **fields: object) -> None:
        self.log.now_ms = at_ms
        self.log.write([ItemChange(n, Item(id=n, **fields)) for n in items])  # type: ignore[arg-type]

    def newest(self, label: int) -> list[object]:
        return list(self.contents.at_end_of(label).newest)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, cold=3)


def test_a_window_knows_the_records_that_came_before_its_end(shop: Shop) -> None:
    shop.put(1_000, 1)
    shop.put(3_999, 2)
    shop.put(4_000, 3)
    assert shop.newest(0) == [1]
    assert shop.newest(1) == [2, 1]
    assert shop.newest(2) == [3, 2, 1]
    # Another track, which is behind.
    assert shop.newest(1) == [2, 1]
    assert shop.contents.at_end_of(1).find(3) is None
    assert shop.contents.at_end_of(2).find(3) is not None


def test_of_the_newest_records_those_count_that_may_be_shown(shop: Shop) -> None:
    shop.put(0, 1, 2, 3, 4)
    assert shop.newest(0) == [4, 3, 2]
    shop.put(2_000, 2)
    shop.log.write([ItemChange(4, None)])
    assert shop.newest(1) == [2, 3]
    shop.put(4_000, 5, available=False)
    shop.put(4_000, 6, published=6_001)
    shop.put(4_000, 7, expires=5_999)
    assert shop.newest(2) == []
    assert shop.contents.at_end_of(2).find(4) is None
    assert shop.contents.at_end_of(2).find(5) is not None


def test_a_track_behind_knows_what_an_item_was_then(shop: Shop) -> None:
    shop.put(0, 1, attributes={"genre": "war"})
    war = shop.contents.at_end_of(0).find(1)
    shop.put(2_000, 1, attributes={"genre": "noir"})
    noir = shop.contents.at_end_of(1).find(1)
    assert war is not None
    assert noir is not None
    assert war.codes.tolist() != noir.codes.tolist()
    assert shop.contents.at_end_of(0).find(1) == war


def test_who_starts_later_knows_the_same(shop: Shop) -> None:
    for at in range(8):
        shop.put(at * 1_000, at % 5)
        if at % 2:
            shop.newest(at // 2)
    late = shop.reader().at_end_of(3)
    assert list(late.newest) == shop.newest(3)


def test_a_track_behind_knows_the_same_whoever_read_how_far_before_it(shop: Shop) -> None:
    """Law 5: after a restart, the first who reads may be one that is ahead."""
    for at, kind in ((0, "war"), (2_000, "noir")):
        shop.put(at, 1, 2, attributes={"genre": kind})
        shop.put(at + 1, 3 + at)
    shop.put(2_500, 9)
    for label in range(3):
        shop.newest(label)
    shop.put(6_000, 3)
    late = shop.reader()
    late.at_end_of(3)
    for contents in (shop.contents, late):
        known = contents.at_end_of(0)
        assert list(known.newest) == [3, 2, 1]
        war, noir = known.find(1), contents.at_end_of(1).find(1)
        assert war is not None
        assert noir is not None
        assert war.codes.tolist() != noir.codes.tolist()
        assert known.find(9) is None
        assert list(contents.at_end_of(1).newest) == [9, 2_003, 2]


def test_no_more_items_are_kept_than_the_settings_say(tmp_path: Path) -> None:
    shop = Shop(tmp_path, most=2)
    shop.put(0, 1, 2, 3)
    assert shop.newest(0) == [2, 1]
    nothing = Shop(tmp_path, cold=0)
    nothing.put(0, 1)
    assert not nothing.contents.at_end_of(0)


def test_an_embedding_of_another_length_is_named_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.put(0, 1, embedding=[0.5, 0.5])
    shop.put(0, 2, 3, embedding=[0.5, 0.5, 0.5])
    with caplog.at_level(logging.WARNING):
        found = shop.contents.at_end_of(0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "item 2 has an embedding of 3 numbers, those before had 2; embeddings of one length count, "
        "those of most items: load the others again"
    ]
    assert list(found.newest) == [3, 2, 1]


def test_after_a_failure_it_goes_on_from_where_it_was(shop: Shop) -> None:
    shop.put(0, 1)
    assert shop.newest(0) == [1]
    shop.put(2_000, 2)
    shop.contents.close()
    opened: list[int] = []

    def fails_once(begin: int) -> ItemSource:
        opened.append(begin)
        if len(opened) == 1:
            raise Unreachable("no broker")
        return MemoryItemSource(shop.log, begin)

    shop.contents._open_source = fails_once
    with pytest.raises(Unreachable):
        shop.newest(1)
    assert shop.newest(1) == [2, 1]
    assert opened == [1, 1]


def test_a_trainer_with_a_catalogue_restarts_to_equal_versions_and_others_without(
    tmp_path: Path,
) -> None:
    settings = load_settings({"home": str(tmp_path), **SMALL, "windows": {"seconds": 2.0}})
    log = make_log(2, [3, 4, 6, 7, 9], users=30, items=60)
    items = MemoryItemLog()
    items.write(
        [ItemChange(n, Item(id=n, attributes={"kind": f"k{n % 3}"})) for n in range(1, 200)]
    )

    class Shelved(Bench):
        def start(self, boundary=lambda step: None, train=None):  # type: ignore[no-untyped-def]
            loop = super().start(boundary)
            loop._contents = ItemContents(lambda begin: MemoryItemSource(items, begin), settings)
            return loop

    whole, cut, plain = Shelved(log, settings), Shelved(log, settings), Bench(log, settings)
    whole.run()
    for _ in range(6):
        cut.start().step(0)
    cut.run()
    plain.run()
    assert whole.versions() == cut.versions()
    assert whole.versions() != plain.versions()
    last = whole.store.manifest(whole.store.versions()[-1])
    assert b"content.map" in whole.store.read(last, last.replica_files[0])
    first = plain.store.manifest(plain.store.versions()[-1])
    assert b"content.map" not in plain.store.read(first, first.replica_files[0])
    # A release before it refuses such a version by its number.
    assert last.format == NEWER_FORMAT

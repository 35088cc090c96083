"""A replica's catalogue follows the topic, from its beginning on, whatever stands in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from everfresh.adapters.memory_items import MemoryItemLog, MemoryItemSource
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.settings import ItemSettings
from everfresh.serving.items import catalogue as catalogue_module
from everfresh.serving.items import following
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.following import CatalogueFollower
from tests.serving.items.shop import change, removal


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 240  # for what never comes
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_it_has_read_the_topic_when_it_is_made_and_goes_on_from_there() -> None:
    log, catalogue = MemoryItemLog(), Catalogue(ItemSettings())
    log.write([change(n) for n in range(1_300)])
    log.records.append((b"7", b"garbage"))
    follower = CatalogueFollower(lambda begin: MemoryItemSource(log, begin), catalogue)
    assert follower.figures() == {
        "items": 1_300,
        "items_read": 1_301,
        "items_cold": 0,
        "items_left_out": 1,
        "items_reason": "",
    }
    log.write([removal(7), change("new")])
    eventually(lambda: catalogue.end == 1_303)
    assert catalogue.may_show([7, "new", 8]) == [False, True, True]
    follower.close()


def test_an_answer_names_the_records_that_it_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while many are taken in, some at a time, and answers come between."""
    catalogue, ends = Catalogue(ItemSettings()), []
    catalogue.in_use = True
    monkeypatch.setattr(catalogue_module.time, "sleep", lambda _: ends.append(catalogue.end))
    changes = [msgspec.structs.replace(change(n), offset=2 * n) for n in range(50)]
    catalogue.apply(changes, 120, gently=True)
    assert ends == [39, 79, 99]
    assert catalogue.end == 120


def test_a_topic_that_cannot_be_read_at_the_start_stops_the_replica() -> None:
    def nowhere(begin: int) -> MemoryItemSource:
        raise Unreachable("no broker")

    with pytest.raises(Unreachable):
        CatalogueFollower(nowhere, Catalogue(ItemSettings()))


def test_while_it_cannot_be_followed_what_is_known_stays_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "_AGAIN_S", 0.01)
    log, catalogue = MemoryItemLog(), Catalogue(ItemSettings())
    log.write([change(1), change(2, available=False)])
    broken = [True]

    class Flaky(MemoryItemSource):
        def poll(self, timeout_ms: int) -> list[ItemChange]:
            if broken[0]:
                raise Unreachable("the broker is away")
            return super().poll(5)

    follower = CatalogueFollower(lambda begin: Flaky(log, begin), catalogue)
    eventually(lambda: follower.figures()["items_reason"] != "")
    assert catalogue.may_show([1, 2]) == [True, False]
    log.write([change(2)])
    broken[0] = False
    eventually(lambda: catalogue.end == 3)
    eventually(lambda: follower.figures()["items_reason"] == "")
    assert catalogue.may_show([1, 2]) == [True, True]
    said = [record.message for record in caplog.records if "cannot be followed" in record.message]
    assert said[0].endswith("what is known of it stays: the broker is away")
    follower.close()


def test_what_was_read_is_not_read_again_when_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else an item that was removed would be shown until its removal is read once more."""
    monkeypatch.setattr(following, "_AGAIN_S", 0.01)
    log, catalogue = MemoryItemLog(), Catalogue(ItemSettings())
    log.write([change(1), removal(1)])
    begins: list[int] = []

    class Flaky(MemoryItemSource):
        def poll(self, timeout_ms: int) -> list[ItemChange]:
            if len(begins) == 1:
                raise Unreachable("the broker is away")
            return super().poll(5)

    def opened(begin: int) -> Flaky:
        begins.append(begin)
        return Flaky(log, begin)

    follower = CatalogueFollower(opened, catalogue)
    eventually(lambda: len(begins) == 2)
    log.write([change(2)])
    eventually(lambda: catalogue.end == 3)
    assert begins == [0, 2]
    assert catalogue.may_show([1, 2]) == [False, True]
    follower.close()


def test_a_topic_that_was_made_anew_is_said_and_read_from_its_beginning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, catalogue = MemoryItemLog(), Catalogue(ItemSettings())
    catalogue.apply([change(1), change(2)], 7)
    log.write([removal(1)])
    follower = CatalogueFollower(lambda begin: MemoryItemSource(log, begin), catalogue)
    assert catalogue.may_show([1, 2]) == [False, True]
    assert catalogue.end == 1
    assert "ends before offset 7, which was read: it was made anew" in caplog.text
    follower.close()


def test_records_that_have_no_room_are_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    log, catalogue = MemoryItemLog(), Catalogue(ItemSettings(most=3))
    log.write([change(n) for n in range(5)])
    follower = CatalogueFollower(lambda begin: MemoryItemSource(log, begin), catalogue)
    assert follower.figures()["items_left_out"] == 2
    assert "2 records of items have no room here, the last of them 4: raise items.most" in (
        caplog.text
    )
    follower.close()

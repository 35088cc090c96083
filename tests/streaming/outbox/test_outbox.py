"""The outbox by itself: numbers, what waits, what is in the making, and what a restart finds."""

from __future__ import annotations

import msgspec
import pytest

from everfresh.streaming.outbox.outbox import Outbox
from everfresh.streaming.outbox.rows import OutboxRow, encode_outbox_row, row_key
from everfresh.streaming.state.key_layout import OUTBOX_PREFIX
from everfresh.streaming.state.store import MemoryStore
from everfresh.streaming.state.write_batch import WriteBatch


def row(text: str) -> OutboxRow:
    return OutboxRow("dead-letters", None, None, text.encode(), [])


def add(outbox: Outbox, store: MemoryStore, *texts: str) -> None:
    batch = WriteBatch()
    outbox.add_batch([row(text) for text in texts], batch)
    write(outbox, store, batch)


def write(outbox: Outbox, store: MemoryStore, batch: WriteBatch) -> None:
    store.write(batch.puts, batch.deletes)
    outbox.written(batch)


def oldest(outbox: Outbox) -> list[str]:
    batch = outbox.oldest()
    return [] if batch is None else [(each.value or b"").decode() for each in batch]


def stored_bytes(store: MemoryStore) -> int:
    return sum(len(raw) for _, raw in store.scan(OUTBOX_PREFIX))


def test_batches_wait_in_the_order_in_which_they_came_and_go_as_a_whole() -> None:
    store = MemoryStore()
    outbox = Outbox(store)
    assert (outbox.waiting, outbox.waiting_bytes, oldest(outbox)) == (0, 0, [])
    add(outbox, store, "a", "b")
    add(outbox, store, "c")
    assert outbox.waiting == 2
    assert outbox.waiting_bytes == stored_bytes(store)
    assert oldest(outbox) == ["a", "b"]
    outbox.remove_oldest()
    assert oldest(outbox) == ["c"]
    assert outbox.waiting_bytes == stored_bytes(store) == len(encode_outbox_row(row("c")))
    outbox.remove_oldest()
    assert (outbox.waiting, outbox.waiting_bytes, store.pairs) == (0, 0, {})


def test_a_batch_of_no_rows_is_none() -> None:
    outbox, batch = Outbox(MemoryStore()), WriteBatch()
    outbox.add_batch([], batch)
    assert not batch
    assert not batch.outbox_batches


def test_what_was_not_written_does_not_wait() -> None:
    outbox, batch = Outbox(MemoryStore()), WriteBatch()
    outbox.add_batch([row("a")], batch)
    assert (outbox.waiting, outbox.oldest()) == (0, None)


def test_a_restart_finds_what_waits_and_uses_no_number_of_it_again() -> None:
    store = MemoryStore()
    outbox = Outbox(store)
    for text in "abc":
        add(outbox, store, text)
    outbox.remove_oldest()
    again = Outbox(store)
    assert (again.waiting, again.waiting_bytes) == (2, outbox.waiting_bytes)
    assert again.begin_batch() == 3
    assert oldest(again) == ["b"]


def test_a_batch_in_the_making_waits_once_its_last_row_is_written() -> None:
    store = MemoryStore()
    outbox = Outbox(store)
    number = outbox.begin_batch()
    first = WriteBatch()
    outbox.add_row(number, 0, row("part 0"), first)
    write(outbox, store, first)
    add(outbox, store, "later, but complete")
    assert outbox.waiting == 1
    again = Outbox(store, in_the_making=number)
    assert (again.waiting, again.waiting_bytes) == (1, outbox.waiting_bytes)
    assert again.read_row(number, 0) == row("part 0")
    assert again.begin_batch() == 2
    last = WriteBatch()
    again.add_row(number, 1, row("part 1"), last)
    again.complete_batch(number, last)
    write(again, store, last)
    assert oldest(again) == ["later, but complete"]
    again.remove_oldest()
    assert oldest(again) == ["part 0", "part 1"]
    assert again.waiting_bytes == stored_bytes(store)


def test_a_batch_in_the_making_without_rows_keeps_its_number() -> None:
    assert Outbox(MemoryStore(), in_the_making=7).begin_batch() == 8


def test_a_row_that_should_be_there_and_is_not_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        Outbox(MemoryStore(), in_the_making=0).read_row(0, 0)


@pytest.mark.parametrize("number", [31, 32, 33, 64])
def test_a_batch_of_many_rows_is_read_in_pages(number: int) -> None:
    store = MemoryStore()
    outbox = Outbox(store)
    texts = [str(index) for index in range(number)]
    add(outbox, store, *texts)
    assert oldest(outbox) == texts
    batch = outbox.oldest()
    assert batch is not None
    assert max(map(len, batch.pages())) <= 32
    assert store.get(row_key(0, number - 1)) is not None

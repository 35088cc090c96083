"""One conformance suite over both stores, and what only a disk can show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rocksdict import Cache, Options

from everfresh.contracts.errors import StateError, StateLocked
from everfresh.streaming.state import store as store_module
from everfresh.streaming.state.store import MemoryStore, PartitionStore, RocksStore, block_cache

Open = Callable[[], PartitionStore]


@pytest.fixture(params=["memory", "rocksdb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same data again and again."""
    pairs: dict[bytes, bytes] = {}
    made: list[PartitionStore] = []

    def opened() -> PartitionStore:
        made.append(MemoryStore(pairs) if request.param == "memory" else _rocks(tmp_path / "p"))
        return made[-1]

    yield opened
    for store in made:
        store.close()


def _rocks(path: Path) -> RocksStore:
    return RocksStore(path, block_cache(1), 1)


def test_what_was_written_is_read_also_after_reopening(open_store: Open) -> None:
    store = open_store()
    store.write({b"a": b"1", b"b": b""})
    store.close()
    again = open_store()
    assert again.get(b"a") == b"1"
    assert again.get(b"b") == b""
    assert again.get(b"c") is None


def test_many_values_come_in_the_order_of_their_keys(open_store: Open) -> None:
    store = open_store()
    store.write({b"a": b"1", b"c": b"3"})
    assert store.get_many([b"c", b"b", b"a", b"c"]) == [b"3", None, b"1", b"3"]
    assert store.get_many([]) == []


def test_a_scan_yields_the_prefix_in_key_order_and_nothing_else(open_store: Open) -> None:
    store = open_store()
    store.write({b"b\x02": b"2", b"b\x01": b"1", b"a": b"0", b"c": b"3"})
    assert list(store.scan(b"b")) == [(b"b\x01", b"1"), (b"b\x02", b"2")]
    assert list(store.scan(b"z")) == []


def test_deletes_come_before_puts_of_the_same_batch(open_store: Open) -> None:
    store = open_store()
    store.write({b"a": b"1", b"b": b"1"})
    store.write({b"a": b"2"}, [b"a", b"b", b"never"], sync=False)
    assert store.get_many([b"a", b"b"]) == [b"2", None]


def test_a_closed_store_refuses_and_closing_twice_is_harmless(open_store: Open) -> None:
    store = open_store()
    store.close()
    store.close()
    with pytest.raises(StateError):
        store.get(b"a")


def test_a_second_owner_is_told_that_the_state_is_in_use(tmp_path: Path) -> None:
    first = _rocks(tmp_path / "p")
    with pytest.raises(StateLocked, match="another process has the state"):
        _rocks(tmp_path / "p")
    first.close()
    _rocks(tmp_path / "p").close()


def test_a_half_read_scan_does_not_keep_the_lock(tmp_path: Path) -> None:
    first = _rocks(tmp_path / "p")
    first.write({b"a": b"1", b"b": b"2"})
    pairs = first.scan(b"")
    next(pairs)
    first.close()
    del pairs
    _rocks(tmp_path / "p").close()


def test_a_directory_that_rocksdb_cannot_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    store = _rocks(tmp_path / "p")
    store.write({b"a": b"1"})
    store.close()
    (tmp_path / "p" / "CURRENT").write_text("nonsense")
    with pytest.raises(StateError, match="delete that directory"):
        _rocks(tmp_path / "p")


def test_a_scan_does_not_go_through_what_was_deleted_behind_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart outbox batches are numbered from 0, before thousands that were delivered."""

    made: list[Options] = []
    plain = store_module._options

    def counting(cache: Cache, write_buffer_mb: int) -> Options:
        made.append(plain(cache, write_buffer_mb))
        made[-1].enable_statistics()
        return made[-1]

    def skipped() -> int:
        [found] = re.findall(r"rocksdb\.number\.iter\.skip COUNT : (\d+)", made[0].get_statistics())
        return int(found)

    monkeypatch.setattr(store_module, "_options", counting)
    with closing(RocksStore(tmp_path / "store", block_cache(1), 1)) as store:
        keys = [b"o" + number.to_bytes(2, "big") for number in range(1000)]
        store.write(dict.fromkeys(keys, b"row"))
        store.write({b"u": b"user"}, [key for key in keys if key != keys[255]])
        assert list(store.scan(keys[255])) == [(keys[255], b"row")]
        assert skipped() < 10
        assert list(store.scan(b"o")) == [(keys[255], b"row")]
        assert skipped() > 900, "it does count what was deleted"

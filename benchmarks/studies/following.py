"""What does a follower cost, and when can a new machine answer?

    python -m benchmarks.studies.following [--quick] [--json FILE]

Good: little processor time per event, less than the worker's; few seconds until the state is there.

Without Kafka: the same fetches go through a worker's partition (fold, windows, outbox) and through
a standby, both on RocksDB. Then snapshots of many users are made, and a follower opens all
partitions from them and applies five minutes of events that came since.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import show_table, write_figures
from everfresh.adapters.state.snapshots import SNAPSHOT_FORMAT, SnapshotManifest, SnapshotStore
from everfresh.contracts.event import Event, user_key
from everfresh.contracts.partitioning import partition_of
from everfresh.contracts.sequence import (
    FORMAT,
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    encode_entry,
    encode_id,
    pack_sequence,
)
from everfresh.contracts.settings import Settings, load_settings
from everfresh.streaming.fold.rules import fold_rules
from everfresh.streaming.follower.opening import Standbys
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.restore import origin_of
from everfresh.streaming.state.store import RocksStore, block_cache

TOPIC = "everfresh.events"
PARTITIONS = 4
_FETCH = 2_000
_START_MS = 1_700_000_000_000
_EVENTS_EACH = 20
TAIL = 300_000
"""Events since the snapshots: of five minutes at 1,000 a second."""
SHORT, LONG = (100_000, [10_000]), (1_000_000, [100_000, 1_000_000])
"""Events whose cost is measured, and numbers of users, with ``--quick`` and without."""


class _Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[()] = ()


class Arrived(NamedTuple):
    """How long a follower took with ``users``: ``snapshot_s`` until all partitions were open, and
    ``tail_s`` more until the events since then were applied. ``megabytes`` are of the snapshots."""

    users: int
    megabytes: float
    snapshot_s: float
    tail_s: float


def measure(events: int, users: list[int]) -> tuple[dict[str, float], list[Arrived]]:
    """Microseconds of processor per event of worker and follower; and how long joining took."""
    cost = {"worker": _worker_cost(events), "follower": _follower_cost(events)}
    return cost, [_arrival(number) for number in users]


def show(cost: dict[str, float], arrived: list[Arrived]) -> None:
    """Two tables."""
    show_table(
        "Processor time per event, without the Kafka client",
        ("who", "µs per event ↓"),
        list(cost.items()),
        good="the follower below the worker",
    )
    show_table(
        f"A new machine, {_EVENTS_EACH} events a user, {TAIL:,} events since",
        ("users", "MB of snapshots", "s until all are open ↓", "s for the tail ↓"),
        list(arrived),
        good="few seconds in all",
    )


def figures(cost: dict[str, float], arrived: list[Arrived]) -> dict[str, float]:
    """One flat object."""
    flat = {f"us_per_event_{name}": value for name, value in cost.items()}
    for each in arrived:
        flat[f"snapshot_s_{each.users}"] = each.snapshot_s
        flat[f"tail_s_{each.users}"] = each.tail_s
        flat[f"mb_{each.users}"] = each.megabytes
    return flat


def _settings(home: Path) -> Settings:
    return load_settings({"home": home, "state": {"snapshot_url": str(home / "bucket")}})


def _fetches(begin: int, events: int, users: int, partition: int = 0) -> Iterator[list[_Record]]:
    """Events at 10,000 a second, of users whose partition it is."""
    choose = random.Random(5)
    mine = [user for user in range(users) if partition_of(user_key(user), PARTITIONS) == partition]
    encode = msgspec.json.Encoder().encode
    records = (
        _Record(
            offset,
            _START_MS + offset // 10,
            user_key(user),
            encode(Event(f"e{offset}", "click", _START_MS + offset // 10, user, offset % 5000)),
        )
        for offset in range(begin, begin + events)
        for user in [choose.choice(mine)]
    )
    while fetch := list(itertools.islice(records, _FETCH)):
        yield fetch


def _place(partition: int, end: int) -> LogPlace:
    return LogPlace("cluster", TOPIC, "id", partition, 0, end, PARTITIONS)


def _worker_cost(events: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder))
        store = RocksStore(Path(folder, "state"), block_cache(64), 16)
        partition = open_partition(store, _place(0, events), fold_rules(settings))
        taken = 0.0
        for fetch in _fetches(0, events, 80_000):
            began = time.process_time()
            partition.apply(fetch)
            _deliver(partition)
            taken += time.process_time() - began
        partition.close()
    return taken / events * 1e6


def _deliver(partition: Partition) -> None:
    while partition.has_parts_to_make:
        partition.make_part()
    while partition.outbox.waiting:
        partition.outbox.remove_oldest()


def _follower_cost(events: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        standby = Standbys(_settings(Path(folder))).open(_place(0, events))
        taken = 0.0
        for fetch in _fetches(0, events, 80_000):
            began = time.process_time()
            standby.apply(fetch)
            standby.settle()
            taken += time.process_time() - began
        standby.close()
    return taken / events * 1e6


def _arrival(users: int) -> Arrived:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = _settings(home)
        size = sum(_snapshot(settings, number, users) for number in range(PARTITIONS))
        tails = [
            list(_fetches(users, TAIL // PARTITIONS, min(users, 80_000), number))
            for number in range(PARTITIONS)
        ]
        end = users + TAIL
        standbys = Standbys(settings)
        began = time.monotonic()
        with ThreadPoolExecutor(2) as opening:
            places = [_place(number, end) for number in range(PARTITIONS)]
            opened = list(opening.map(standbys.open, places))
        snapshot_s = time.monotonic() - began
        for standby, tail in zip(opened, tails, strict=True):
            for fetch in tail:
                standby.apply(fetch)
        tail_s = time.monotonic() - began - snapshot_s
        for standby in opened:
            standby.close()
    print(users, snapshot_s, tail_s, file=sys.stderr)
    return Arrived(users, size / 1e6, snapshot_s, tail_s)


def _snapshot(settings: Settings, number: int, users: int) -> int:
    """A partition's share of the users, as a snapshot of a worker would have it; its bytes."""
    path = settings.home / f"made-{number}"
    store = RocksStore(path, block_cache(64), 16)
    place = _place(number, users)
    open_partition(store, place, fold_rules(settings)).close()
    store = RocksStore(path, block_cache(64), 16)
    meta = msgspec.msgpack.decode(store.get(META_KEY) or b"", type=PartitionMeta)
    assert meta.format == FORMAT
    store.write({META_KEY: msgspec.msgpack.encode(msgspec.structs.replace(meta, applied=users))})
    entries = b"".join(encode_entry(item, 1, _START_MS, None) for item in range(_EVENTS_EACH))
    keys = (user for user in range(users) if partition_of(user_key(user), PARTITIONS) == number)
    while batch := list(itertools.islice(keys, 10_000)):
        value = pack_sequence(_EVENTS_EACH, users - 1, _EVENTS_EACH, entries)
        store.write({USER_PREFIX + encode_id(user): value for user in batch}, sync=False)
    copy = path.with_name(f"copy-{number}")
    store.checkpoint(copy)
    store.close()
    about = SnapshotManifest(SNAPSHOT_FORMAT, origin_of(place), users, 1, [])
    snapshots = SnapshotStore(settings.snapshots_url, TOPIC, number)
    saved, _ = snapshots.save(about, copy, 1, lambda: None)
    shutil.rmtree(path)
    shutil.rmtree(copy)
    return saved.bytes


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    began = time.monotonic()
    options = parse_options("studies.following", __doc__, argv)
    cost, arrived = measure(*(SHORT if options.quick else LONG))
    show(cost, arrived)
    write_figures(figures(cost, arrived), began, options.json)


if __name__ == "__main__":
    main()

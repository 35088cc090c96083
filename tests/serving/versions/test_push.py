"""Pushed weights: contents only; the pointer decides what goes live."""

from __future__ import annotations

import pytest

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.contracts.manifest import MODEL_FILES, Pointer
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from everfresh.serving.versions.push import Pusher
from everfresh.serving.versions.pushed_weights import PushedFiles, PushedStore
from tests.serving.replica_in_memory import publish


class Bench:
    """A store, a pusher that watches it, and what was broadcast."""

    def __init__(self) -> None:
        self.store = MemoryWeightStore()
        self.sent: list[PushedFiles] = []
        self.broken = False
        self.pusher = Pusher(self.store, self.broadcast, look_ms=10)

    def broadcast(self, files: PushedFiles) -> None:
        if self.broken:
            raise OSError("no replica is there")
        self.sent.append(files)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_new_version_is_pushed_once_and_with_what_replicas_read(bench: Bench) -> None:
    publish(bench.store, 1)
    assert not bench.pusher.step(), "the current version is found by the replicas as they start"
    publish(bench.store, 2)
    assert bench.pusher.step()
    assert not bench.pusher.step()
    manifest = bench.store.manifest(2)
    read = {file.digest: bench.store.read(manifest, file.name) for file in manifest.files}
    assert bench.sent == [read]
    assert {file.name for file in manifest.files} == set(MODEL_FILES)


def test_a_push_that_fails_is_said_once_and_not_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bench.store, 1)
    bench.pusher.step()
    bench.broken = True
    for version in (2, 3):
        publish(bench.store, version)
        assert not bench.pusher.step()
    assert [record.message for record in caplog.records] == [
        "not pushed, the replicas will find it: OSError: no replica is there"
    ]
    bench.broken = False
    publish(bench.store, 4)
    assert bench.pusher.step()


def test_a_version_of_few_bytes_is_left_to_the_replicas() -> None:
    bench = Bench()
    publish(bench.store, 1)
    size = sum(file.bytes for file in bench.store.manifest(1).files)
    for least, pushed in ((size, True), (size + 1, False)):
        pusher = Pusher(bench.store, bench.broadcast, look_ms=10, least_bytes=least)
        pusher.step()
        publish(bench.store, bench.store.versions()[-1] + 1)
        assert pusher.step() is pushed
    assert len(bench.sent) == 1


def test_what_was_pushed_is_not_fetched_and_nothing_goes_live_by_it_alone() -> None:
    store, pushed = MemoryWeightStore(), MemoryWeightStore()
    publish(store, 1)
    publish(pushed, 2)
    manifest = pushed.manifest(2)
    files = {file.name: pushed.read(manifest, file.name) for file in manifest.files}
    store.write(manifest, files)
    for name in MODEL_FILES:  # what lies in the store would be refused
        store.damage(2, name, b"damaged")
    reader, holder = PushedStore(store), VersionHolder()
    follower = Follower(reader, holder, ManualClock(1), load_version)
    assert follower.step()
    reader.receive({file.digest: files[file.name] for file in manifest.files})
    assert not follower.step(), "the pointer names another version"
    store.advance(Pointer(0, 2))
    assert follower.step()
    current = holder.current()
    assert current is not None
    assert current.version == 2
    assert reader.used == len(MODEL_FILES)


def test_a_push_is_let_go_of_unless_another_has_come_meanwhile() -> None:
    pushed, one, two = PushedStore(MemoryWeightStore()), {"a": b"1"}, {"b": b"2"}
    pushed.receive(one)
    held = pushed.held
    pushed.receive(two)
    pushed.drop(held)
    assert pushed.held is two
    pushed.drop(two)
    assert not pushed.held


def test_a_push_that_fits_no_file_is_ignored() -> None:
    store = MemoryWeightStore()
    publish(store, 1)
    manifest = store.manifest(1)
    pushed = PushedStore(store)
    pushed.receive({file.digest: b"not that" for file in manifest.files})
    name = manifest.files[0].name
    assert pushed.read(manifest, name) == store.read(manifest, name)
    assert pushed.used == 0

"""Law 8 at one replica, and law 7 while versions change."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.contracts.manifest import Pointer
from everfresh.model.recommender import Recommender
from everfresh.serving.versions.holder import LoadedVersion, VersionHolder
from tests.serving.replica_in_memory import publish, recommender


@pytest.fixture(scope="module")
def model() -> Recommender:
    return recommender(1)


def loaded(pointer: Pointer, model: Recommender) -> LoadedVersion:
    store = MemoryWeightStore()
    publish(store, 1)
    return LoadedVersion(pointer.version, pointer.epoch, model, store.manifest(1), 0)


def test_nothing_is_live_before_the_first_version() -> None:
    assert VersionHolder().current() is None


def test_a_version_does_not_go_backwards_within_an_epoch(model: Recommender) -> None:
    holder = VersionHolder()
    assert holder.swap(loaded(Pointer(0, 5), model))
    assert not holder.swap(loaded(Pointer(0, 4), model))
    assert not holder.swap(loaded(Pointer(0, 5), model))
    current = holder.current()
    assert current is not None
    assert current.version == 5


def test_a_rollback_is_a_greater_epoch_and_beats_a_racing_publish(model: Recommender) -> None:
    holder = VersionHolder()
    holder.swap(loaded(Pointer(0, 5), model))
    assert holder.swap(loaded(Pointer(1, 3), model))
    assert not holder.swap(loaded(Pointer(0, 6), model))
    current = holder.current()
    assert current is not None
    assert current.pointer == Pointer(1, 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.builds(Pointer, st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=30))
def test_whatever_is_offered_in_any_order_the_greatest_pointer_is_live(
    offered: list[Pointer],
) -> None:
    model = recommender(1)
    versions = [loaded(pointer, model) for pointer in offered]
    holder = VersionHolder()
    begin = threading.Barrier(2)

    def swap_all(part: list[LoadedVersion]) -> None:
        begin.wait()
        for version in part:
            holder.swap(version)

    halves = [versions[::2], versions[1::2]]
    threads = [threading.Thread(target=swap_all, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current = holder.current()
    assert current is not None
    assert current.pointer == max(offered, key=lambda pointer: (pointer.epoch, pointer.version))

"""The follower: what goes live, what does not, and what is said of it."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.foreign import NEWER
from everfresh.contracts.manifest import NEWER_FORMAT, Pointer, WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.sequence import Interaction
from everfresh.model.recommender import Recommender
from everfresh.serving.versions.follow import Follower, load_version
from everfresh.serving.versions.holder import VersionHolder
from tests.adapters.weights.forged_versions import forge
from tests.serving.replica_in_memory import MODEL, publish, recommender


class BrokenStore(MemoryWeightStore):
    """A store whose pointer cannot be read while it is broken."""

    broken = False

    def pointer(self) -> Pointer | None:
        if self.broken:
            raise OSError("the network is gone")
        return super().pointer()


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(1_000)
        self.store = BrokenStore()
        self.holder = VersionHolder()
        self.loads = 0
        self.follower = Follower(self.store, self.holder, self.clock, self.load)

    def load(self, manifest: WeightManifest, store: WeightStore) -> Recommender:
        self.loads += 1
        return load_version(manifest, store)

    def live(self) -> Pointer | None:
        current = self.holder.current()
        return None if current is None else current.pointer

    def damage(self, version: int) -> None:
        self.store.damage(version, "model.safetensors", b"not what the manifest says")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_before_the_first_publish_there_is_nothing_to_follow(bench: Bench) -> None:
    assert not bench.follower.caught_up(), "nothing was looked at yet"
    assert not bench.follower.step()
    assert bench.follower.caught_up()
    assert bench.live() is None
    assert bench.follower.state.reason is None


def test_a_new_version_goes_live_with_its_time(bench: Bench) -> None:
    publish(bench.store, 1)
    bench.clock.advance(50)
    assert bench.follower.step()
    current = bench.holder.current()
    assert current is not None
    assert (current.version, current.epoch, current.live_since_ms) == (1, 0, 1_050)
    assert current.manifest.label == 101
    assert bench.follower.state.swaps == 1


def test_a_version_has_answered_before_it_goes_live(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommend, answered = Recommender.recommend, list[tuple[Recommender, int, Pointer | None]]()

    def seen(made: Recommender, history: list[Interaction], *rest: Any) -> Any:
        answered.append((made, len(history), bench.live()))
        return recommend(made, history, *rest)

    monkeypatch.setattr(Recommender, "recommend", seen)
    for version, before in ((1, None), (2, Pointer(0, 1))):
        publish(bench.store, version)
        answered.clear()
        assert bench.follower.step()
        current = bench.holder.current()
        assert current is not None
        assert [made for made, *_ in answered] == [current.recommender] * 3
        assert [rest for _, *rest in answered] == [[n, before] for n in (0, 1, MODEL.max_length)]


def test_a_version_that_is_live_is_not_loaded_again(bench: Bench) -> None:
    publish(bench.store, 1)
    assert bench.follower.step()
    assert not bench.follower.step()
    assert bench.loads == 1


def test_versions_between_two_looks_are_skipped(bench: Bench) -> None:
    for version in (1, 2, 3):
        publish(bench.store, version)
    bench.follower.step()
    assert bench.live() == Pointer(0, 3)
    assert bench.loads == 1


def test_a_rollback_by_a_greater_epoch_is_taken(bench: Bench) -> None:
    publish(bench.store, 1)
    publish(bench.store, 2)
    bench.follower.step()
    publish(bench.store, 1, epoch=1)
    assert bench.follower.step()
    assert bench.live() == Pointer(1, 1)


def test_after_a_rollback_its_version_is_live_once_and_for_all(bench: Bench) -> None:
    for version in (1, 2, 3):
        publish(bench.store, version, epoch=1)
    bench.follower.step()
    assert roll_back(bench.store, 2) == Pointer(2, 2, 3)
    assert bench.follower.step()
    assert bench.follower.caught_up()
    assert not bench.follower.step()
    assert (bench.live(), bench.loads) == (Pointer(2, 2), 2)


def test_law_8_what_was_rolled_back_while_it_was_loaded_does_not_go_live(bench: Bench) -> None:
    publish(bench.store, 1)
    publish(bench.store, 2)

    def load(manifest: WeightManifest, store: WeightStore) -> Recommender:
        if manifest.version == 2:
            roll_back(bench.store, 1)
        return load_version(manifest, store)

    bench.follower = Follower(bench.store, bench.holder, bench.clock, load)
    assert not bench.follower.step()
    assert bench.live() is None
    assert not bench.follower.caught_up(), "it stays out of rotation"
    assert bench.follower.step()
    assert bench.live() == Pointer(1, 1)
    assert bench.follower.caught_up()


def test_a_version_goes_live_though_another_was_published_while_it_was_loaded(
    bench: Bench,
) -> None:
    publish(bench.store, 1)

    def load(manifest: WeightManifest, store: WeightStore) -> Recommender:
        publish(bench.store, manifest.version + 1)
        return load_version(manifest, store)

    bench.follower = Follower(bench.store, bench.holder, bench.clock, load)
    for version in (1, 2, 3):
        assert bench.follower.step()
        assert bench.live() == Pointer(0, version)


def test_a_pointer_that_went_backwards_is_refused(bench: Bench) -> None:
    publish(bench.store, 1)
    publish(bench.store, 2)
    bench.follower.step()
    older = MemoryWeightStore()
    publish(older, 1)
    restored = Follower(older, bench.holder, bench.clock, load_version)
    assert not restored.step()
    assert bench.live() == Pointer(0, 2)


def test_a_corrupt_version_is_refused_and_the_old_one_kept(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bench.store, 1)
    bench.follower.step()
    publish(bench.store, 2)
    bench.damage(2)
    with caplog.at_level(logging.WARNING):
        assert not bench.follower.step()
        bench.clock.advance(60_000)
        assert not bench.follower.step()
    assert bench.live() == Pointer(0, 1)
    assert not bench.follower.caught_up()
    state = bench.follower.state
    assert state.failures == 2
    assert state.reason is not None
    assert "CorruptVersion" in state.reason
    assert len(caplog.records) == 1, "the same reason is said once"


def test_a_version_of_a_newer_release_is_refused_in_one_line_and_the_old_one_kept(
    bench: Bench, tmp_path: Path
) -> None:
    store = FsspecWeightStore(str(tmp_path))
    bench.follower = Follower(store, bench.holder, bench.clock, bench.load)
    publish(store, 1)
    bench.follower.step()
    publish(store, 2)
    forge(tmp_path, 2, changed={"format": NEWER_FORMAT + 1})
    for _ in range(3):
        bench.clock.advance(60_000)
        assert not bench.follower.step()
    assert bench.live() == Pointer(0, 1)
    assert bench.follower.state.reason == (
        f"CorruptVersion: the manifest of version 2 names format {NEWER_FORMAT + 1} and version 2; "
        f"expected format {NEWER_FORMAT}, or an earlier one: {NEWER}"
    )


def test_weights_that_are_no_numbers_are_refused(bench: Bench) -> None:
    made = recommender(1)
    with torch.no_grad():
        made.parameters()[0].fill_(torch.nan)
    publish(bench.store, 2)
    manifest = msgspec.structs.replace(bench.store.manifest(2), version=1, files=[])
    manifest = bench.store.write(manifest, made.save())
    with pytest.raises(CorruptVersion, match="not finite"):
        load_version(manifest, bench.store)


def test_a_version_that_fails_is_tried_again_less_and_less_often(bench: Bench) -> None:
    publish(bench.store, 1)
    bench.damage(1)
    tried = []
    for _ in range(200):
        before = bench.loads
        bench.follower.step()
        if bench.loads > before:
            tried.append(bench.clock())
        bench.clock.advance(100)
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 100
    assert gaps[-1] == 5_000


def test_a_clock_that_was_set_back_prolongs_no_pause(bench: Bench) -> None:
    publish(bench.store, 1)
    bench.damage(1)
    bench.clock.advance(3_600_000)
    bench.follower.step()
    bench.clock.set_back(3_600_000)
    loads = bench.loads
    bench.follower.step()
    assert bench.loads == loads + 1


def test_a_version_that_was_mended_goes_live_at_the_next_try(bench: Bench) -> None:
    whole = publish(bench.store, 1)
    bench.damage(1)
    bench.follower.step()
    bench.store.damage(1, "model.safetensors", whole.save()["model.safetensors"])
    bench.clock.advance(100)
    assert bench.follower.step()
    assert bench.follower.state.reason is None


def test_a_newer_version_after_a_corrupt_one_is_followed_at_once(bench: Bench) -> None:
    publish(bench.store, 1)
    bench.damage(1)
    bench.follower.step()
    publish(bench.store, 2)
    assert bench.follower.step()
    assert bench.live() == Pointer(0, 2)
    assert bench.follower.state.reason is None


def test_a_store_that_cannot_be_read_changes_nothing_and_shows_how_old_the_word_is(
    bench: Bench,
) -> None:
    publish(bench.store, 1)
    bench.follower.step()
    bench.store.broken = True
    bench.clock.advance(700)
    assert not bench.follower.step()
    state = bench.follower.state
    assert bench.live() == Pointer(0, 1)
    assert (state.read_ms, state.stepped_ms) == (1_000, 1_700)
    assert state.reason == "OSError: the network is gone"
    bench.store.broken = False
    bench.follower.step()
    assert bench.follower.state.reason is None
    assert bench.follower.state.read_ms == 1_700

"""The next version made of the one before the last: only changed rows, and the same to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from contracts.manifest import FORMAT, MODEL_FILES, Pointer, WeightManifest
from contracts.sequence import Interaction
from contracts.settings import ModelSettings
from contracts.window import DecodedExample
from infra.memory import ManualClock
from infra.weights import FsspecWeightStore
from model.item_ids import WIDEST
from model.recommender import Recommender
from model.vocabulary import Vocabulary
from serving.follow import Follower, load_version
from serving.offers import OfferedStore
from serving.push import Pusher
from serving.versions import VersionHolder

MODEL = ModelSettings(dim=16, blocks=1, heads=2, max_length=8, dropout=0.0)
ITEMS = 400
EVERY = 5


class Line:
    """A trainer's line of versions in a folder, and a follower beside it."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.store = FsspecWeightStore(str(folder), snapshot_every=EVERY)
        self.made = Recommender(MODEL, Vocabulary(), seed)
        self.version = self.epoch = 0
        self.holder = VersionHolder()
        self.offered = OfferedStore(FsspecWeightStore(str(folder)))
        self.follower = Follower(self.offered, self.holder, ManualClock(1), load_version)
        # A text as wide as any to come, for wider ids change every row.
        self._sight([*range(ITEMS), "w" * WIDEST], 1)
        self.write()

    def _sight(self, items: object, label: int) -> None:
        events = [Interaction(item, "view", 0) for item in items]  # type: ignore[attr-defined]
        count = list(range(len(events)))
        self.made.admit([DecodedExample(0, [], events, count, count)], label)

    def train(self, chance: random.Random, bad: float = 0.0) -> None:
        """Some rows and all dense weights move, items come and go."""
        label = self.version + 2
        names: list[object] = [f"item {label} {n} {'x' * chance.randint(0, 60)}" for n in range(3)]
        self._sight([*chance.sample(range(ITEMS), 80), *names[: chance.randint(0, 3)]], label)
        self.made.expire(label - 9)
        rows = torch.tensor(chance.sample(range(ITEMS - 10), 6))
        with torch.no_grad():
            self.made.network.items[rows] += 0.1
            self.made.network.items[rows[0], 0] += bad
            self.made.network.start += 0.01

    def write(self) -> None:
        """One version more, with the pointer at it."""
        self.version += 1
        manifest = WeightManifest(
            format=FORMAT,
            version=self.version,
            parent=self.version - 1 or None,
            label=self.version,
            created_ms=1,
            trained_through={0: self.version},
            windows_read={0: self.version},
            files=[],
            model=MODEL.model_dump(mode="json"),
            items=len(self.made.vocabulary),
            events=1,
            scores={},
        )
        self.store.write(manifest, self.made.save())
        self.point(self.epoch, self.version)

    def point(self, epoch: int, version: int) -> None:
        self.store.advance(Pointer(epoch, version))

    def live(self) -> tuple[int, Recommender]:
        served = self.holder.current()
        assert served is not None
        return served.version, served.recommender

    def require_as_written(self) -> None:
        """The live version equals, to the bit, what loading it whole gives."""
        version, live = self.live()
        fresh = FsspecWeightStore(str(self.folder))
        manifest = fresh.manifest(version)
        files = {name: fresh.read(manifest, name) for name in MODEL_FILES}
        whole = Recommender.load(manifest.model, files)
        assert live.save() == files
        ours, theirs = live.catalogue(), whole.catalogue()
        assert ours.factors is not None
        assert theirs.factors is not None
        assert torch.equal(ours.vectors, theirs.vectors)
        assert torch.equal(ours.factors, theirs.factors)
        assert torch.equal(ours.bias, theirs.bias)
        history = [Interaction(item, "view", 0) for item in (3, 5, 7)]
        scores = live.recommend(history, 20)[1]
        # Where the table lies in memory decides the last bits of a product.
        assert scores == pytest.approx(whole.recommend(history, 20)[1], abs=1e-4)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_a_version_taken_over_by_its_changed_rows_equals_one_loaded_whole(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    line = Line(tmp_path, seed)
    steps = 0
    for _ in range(14):
        steps += line.follower.step()
        line.require_as_written()
        for _ in range(chance.choice((1, 1, 1, 2, 4))):  # some are skipped
            line.train(chance)
            line.write()
    assert steps == 14
    assert line.follower.by_deltas() == 12, "the first two have nothing to be made of"


def test_taking_over_touches_the_changed_rows_alone(line: Line) -> None:
    chance = random.Random(1)
    line.follower.step()
    older = line.live()[1]
    line.train(chance)
    line.write()
    line.follower.step()
    untouched = ITEMS - 5
    row, marked = older.network.items.data[untouched].clone(), torch.full((16,), 5.0)
    older.network.items.data[untouched] = marked
    del older
    while line.version < EVERY:
        line.train(random.Random(line.version))
        line.write()
    line.follower.step()
    version, live = line.live()
    assert version == EVERY
    assert torch.equal(live.network.items.data[untouched], marked)
    # What no delta names shows at the next full snapshot, which is hashed as a whole.
    live.network.items.data[untouched] = row
    line.require_as_written()


def test_contents_that_are_not_the_snapshots_are_loaded_whole(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(1)
    line.follower.step()
    line.train(chance)
    line.write()
    line.follower.step()
    line.live()[1].network.items.data[ITEMS - 5] = 5.0  # of version 2, and so of 4 and 6
    while line.version < EVERY:
        line.train(chance)
        line.write()
        line.follower.step()
    made = line.follower.by_deltas()
    line.train(chance)
    line.write()
    assert line.store.manifest(line.version).depth == 0
    assert line.follower.step()
    assert line.follower.by_deltas() == made
    assert "as its deltas made it has sha256" in caplog.text
    line.require_as_written()


def test_what_a_request_still_answers_with_is_not_written_to(line: Line) -> None:
    chance = random.Random(3)
    line.follower.step()
    held = line.holder.current()
    assert held is not None
    before = held.recommender.save()
    for _ in range(2):
        line.train(chance)
        line.write()
        line.follower.step()
    assert line.follower.by_deltas() == 0
    assert held.recommender.save() == before
    line.require_as_written()
    del held
    line.train(chance)
    line.write()
    line.follower.step()
    assert line.follower.by_deltas() == 1
    line.require_as_written()


def test_weights_that_others_share_are_never_written_to(line: Line) -> None:
    chance = random.Random(8)
    shared: list[tuple[memoryview, bytes]] = []
    for _ in range(6):
        manifest = line.store.manifest(line.version)
        contents = {
            file.sha256: memoryview(line.store.read(manifest, file.name)) for file in manifest.files
        }
        shared += [(one, bytes(one)) for one in contents.values()]
        line.offered.offer(contents)
        line.follower.step()
        line.require_as_written()
        line.train(chance)
        line.write()
    assert line.offered.used == 4, "the first two were taken as they were"
    assert line.follower.by_deltas() == 4
    assert all(one == before for one, before in shared)


def test_a_rollback_and_what_is_published_after_it_are_as_written(line: Line) -> None:
    chance = random.Random(4)
    for _ in range(4):
        line.follower.step()
        line.train(chance)
        line.write()
    line.follower.step()
    line.point(1, line.version - 2)
    assert line.follower.step()
    line.require_as_written()
    line.epoch = 1
    line.train(chance)
    line.write()
    assert line.follower.step()
    line.require_as_written()


def _flip(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _replay(path: Path) -> None:
    former = path.parent.parent / f"v{int(path.parent.name[1:]) - 1:010d}" / path.name
    path.write_bytes(former.read_bytes())


@pytest.mark.parametrize("harm", [_flip, _cut, _replay, Path.unlink])
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_damaged_delta_leaves_the_old_version_live_and_whole(
    line: Line, name: str, harm: Callable[[Path], None]
) -> None:
    chance = random.Random(5)
    for _ in range(3):
        line.follower.step()
        line.train(chance)
        line.write()
    harm(line.folder / f"v{line.version:010d}" / f"{name}.delta")
    assert not line.follower.step()
    assert line.live()[0] == line.version - 1
    line.require_as_written()
    reason = line.follower.state.reason
    assert reason is not None
    assert f"{name}.delta of version {line.version}" in reason
    while line.version % EVERY != 1:  # up to the next full snapshot
        line.train(chance)
        line.write()
    assert line.follower.step()
    line.require_as_written()


def test_rows_that_are_no_numbers_are_refused(line: Line) -> None:
    chance = random.Random(6)
    for bad in (0.0, 0.0, float("nan")):
        line.follower.step()
        line.train(chance, bad)
        line.write()
    assert not line.follower.step()
    assert line.live()[0] == line.version - 1
    assert "not finite" in (line.follower.state.reason or "")


def test_a_pushed_delta_is_taken_over_without_a_fetch(line: Line) -> None:
    chance = random.Random(7)
    sent: list[dict[str, bytes]] = []
    pusher = Pusher(line.store, lambda contents: sent.append(dict(contents)), look_ms=10)
    pusher.step()
    for _ in range(3):
        line.follower.step()
        line.train(chance)
        line.write()
        assert pusher.step()
        line.offered.offer(sent[-1])
    manifest = line.store.manifest(line.version)
    assert sent[-1].keys() == {file.sha256 for file in manifest.stored}
    for name in MODEL_FILES:
        (line.folder / f"v{line.version:010d}" / f"{name}.delta").unlink()
    assert line.follower.step()
    assert line.follower.by_deltas() >= 1
    served = line.holder.current()
    assert served is not None
    assert msgspec.structs.asdict(served.manifest) == msgspec.structs.asdict(manifest)

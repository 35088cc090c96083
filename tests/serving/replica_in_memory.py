"""Small versions and user states, made without a trainer and without a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import torch

from everfresh.adapters.assigners.in_memory import MemoryAssigner
from everfresh.adapters.memory import (
    ManualClock,
    MemoryExposureSink,
    MemoryHistoryReader,
    MemoryReportSink,
    MemoryTracks,
    MemoryWeightStore,
)
from everfresh.adapters.observe.tracing.spans import Spans
from everfresh.adapters.state.in_memory import MemoryRecentEvents, MemoryStateWatch
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.manifest import FORMAT, Pointer, WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.sequence import FORMAT as STATE_FORMAT
from everfresh.contracts.sequence import (
    META_KEY,
    USER_PREFIX,
    Interaction,
    PartitionMeta,
    StoredSequence,
    UserState,
    encode_entry,
    encode_id,
    pack_sequence,
)
from everfresh.contracts.settings import ItemSettings, ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.replica import Replica, ReplicaPorts
from everfresh.serving.spans import ReplicaSpans
from everfresh.serving.versions.follow import load_version
from everfresh.serving.versions.takeover import Load

MODEL = ModelSettings(dim=8, blocks=1, heads=2, max_length=8, dropout=0.0)
ACTIONS = ["view"]
ITEMS: list[ItemId] = [*range(1, 31), "thirty-one"]
PARTITION = 0
LENGTH = 8
CACHE_BYTES = 100_000
STALE_AFTER_MS = 10_000


def recommender(seed: int, items: Sequence[ItemId] = ITEMS) -> Recommender:
    """Its own weights per seed; the first item is the most popular, the last one the least."""
    made = Recommender(MODEL, Vocabulary(), seed)
    targets = [
        Interaction(item, "view", 0)
        for at, item in enumerate(items)
        for _ in range(len(items) - at)
    ]
    count = list(range(len(targets)))
    made.admit([DecodedExample(0, [], targets, count, count)])
    with torch.no_grad():
        # Nothing but how popular an item is counts for a stranger.
        made.network.start.zero_()
        made.network.actions[0] = made.network.values[0] = 0.0
    return made


def publish(
    store: WeightStore, version: int, epoch: int = 0, items: Sequence[ItemId] = ITEMS
) -> Recommender:
    """Write a version whose seed is its number, if it is not there, and point at it."""
    made = recommender(version, items)
    if version not in store.versions():
        manifest = WeightManifest(
            format=FORMAT,
            version=version,
            parent=version - 1 or None,
            label=100 + version,
            created_ms=1,
            trained_through={PARTITION: 10 * version},
            windows_read={PARTITION: version},
            files=[],
            model=MODEL.model_dump(),
            items=len(items),
            events=len(items),
            scores={},
        )
        store.write(manifest, made.save())
    store.advance(Pointer(epoch, version))
    return made


def state_pairs(user: UserId, items: Sequence[ItemId], offset: int) -> dict[bytes, bytes]:
    """The keys and values of a state directory that holds this user alone."""
    meta = PartitionMeta(STATE_FORMAT, "c", "events", "t", PARTITION, offset + 1, ACTIONS, 1)
    entries = b"".join(encode_entry(item, 0, at, None) for at, item in enumerate(items))
    value = pack_sequence(len(items), offset, len(items), entries)
    return {META_KEY: msgspec.msgpack.encode(meta), USER_PREFIX + encode_id(user): value}


class Bench:
    """A replica on the ports in memory; ``on_read`` runs before each look at a user's history."""

    def __init__(
        self,
        load: Load = load_version,
        items: ItemSettings | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.clock = ManualClock(1_000)
        self.store = MemoryWeightStore()
        self.tracks = MemoryTracks(self.store)
        self.pairs: dict[bytes, bytes] = {}
        self.exposures = MemoryExposureSink()
        self.reports = MemoryReportSink()
        self.assigner = MemoryAssigner()
        self.on_read: Callable[[], None] = lambda: None
        self._reader = MemoryHistoryReader({PARTITION: self.pairs}, LENGTH)
        histories = CachedHistoryReader(self, CACHE_BYTES)
        self.state = MemoryStateWatch({PARTITION: self.pairs}, self.clock, STALE_AFTER_MS)
        self.recent = MemoryRecentEvents()
        self.catalogue = Catalogue(items or ItemSettings())
        self.spans = None if spans is None else ReplicaSpans(spans, self.clock)
        ports = ReplicaPorts(
            self.store,
            histories,
            self.exposures,
            self.reports,
            self.assigner,
            self.state,
            catalogue=self.catalogue,
            tracks=self.tracks,
            recent=self.recent,
            spans=self.spans,
        )
        self.replica = Replica("replica-a", ports, self.clock, poll_ms=10, load=load)

    def remember(self, user: UserId, items: Sequence[ItemId], offset: int = 7) -> None:
        """Give a user a history."""
        self.pairs.update(state_pairs(user, items, offset))

    def read(self, user: UserId) -> UserState | None:
        """The bench is its replica's ``HistoryReader``."""
        stored = self.stored(user)
        return None if stored is None else stored.decode()

    def stored(self, user: UserId) -> StoredSequence | None:
        """As :meth:`read`."""
        self.on_read()
        return self._reader.stored(user)

    def live(self) -> int | None:
        """The number of the live version."""
        loaded = self.replica.current()
        return None if loaded is None else loaded.version

"""A version and user states of a size that is asked for, made without training."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from rocksdict import Options, Rdict, WriteBatch

from everfresh.adapters.state.user_state import by_likelihood
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.manifest import FORMAT, Pointer, WeightManifest
from everfresh.contracts.sequence import FORMAT as STATE_FORMAT
from everfresh.contracts.sequence import (
    META_KEY,
    USER_PREFIX,
    Interaction,
    PartitionMeta,
    encode_entry,
    encode_id,
    pack_sequence,
)
from everfresh.contracts.settings import ModelSettings, Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.contracts.window import DecodedExample
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary


def recommender(items: int, settings: ModelSettings, seed: int = 1) -> Recommender:
    """Untrained weights, which cost what trained ones cost; items are 1 to ``items``."""
    made = Recommender(settings, Vocabulary(), seed)
    targets = [Interaction(item, "view", 0) for item in range(1, items + 1)]
    count = list(range(len(targets)))
    made.admit([DecodedExample(0, [], targets, count, count)])
    return made


def publish(settings: Settings, made: Recommender, version: int = 1) -> None:
    """Write a version and point at it."""
    items = len(made.vocabulary)
    manifest = WeightManifest(
        format=FORMAT,
        version=version,
        parent=version - 1 or None,
        label=version,
        created_ms=version,
        trained_through={},
        windows_read={},
        files=[],
        model=made.settings.model_dump(mode="json"),
        items=items,
        events=items,
        scores={},
    )
    store = FsspecWeightStore(settings.weights_url)
    store.write(manifest, made.save())
    store.advance(Pointer(0, version))


def entries(items: np.ndarray, start_ms: int = 1_700_000_000_000) -> bytes:
    """Events on these items, a minute apart."""
    return b"".join(
        encode_entry(int(item), 0, start_ms + 60_000 * at, None) for at, item in enumerate(items)
    )


def write_states(settings: Settings, users: int, events: int, items: int) -> None:
    """State directories as the worker leaves them: users 0 to ``users``, ``events`` events each."""
    random = np.random.default_rng(3)
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    numbers = range(settings.kafka.partitions)
    batches = {number: WriteBatch(raw_mode=True) for number in numbers}
    for user in range(users):
        value = pack_sequence(events, 10 * user, events, entries(random.integers(1, items, events)))
        batch = batches[by_likelihood(user, numbers)[0]]
        batch.put(USER_PREFIX + encode_id(user), value)
    settings.state_dir.mkdir(parents=True)
    for number, batch in batches.items():
        meta = PartitionMeta(STATE_FORMAT, "c", topic, "t", number, 10 * users, ["view"])
        batch.put(META_KEY, msgspec.msgpack.encode(meta))
        folder = Path(settings.state_dir, f"{topic}-{number}")
        database = Rdict(str(folder), Options(raw_mode=True))
        database.write(batch)
        database.close()

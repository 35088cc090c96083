"""Histories of users, as item ids and as the states that the stream worker leaves on disk."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
from rocksdict import Options, Rdict, WriteBatch

from everfresh.adapters.state.user_state import by_likelihood
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import FORMAT as STATE_FORMAT
from everfresh.contracts.sequence import (
    META_KEY,
    USER_PREFIX,
    PartitionMeta,
    encode_entry,
    encode_id,
    pack_sequence,
)
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name


def random_histories(users: int, length: int, items: int) -> dict[UserId, list[int]]:
    """``users`` users with ``length`` items each, drawn from 1 to ``items``."""
    chance = random.Random(5)
    return {user: [chance.randint(1, items) for _ in range(length)] for user in range(users)}


def entries(items: np.ndarray, start_ms: int = 1_700_000_000_000) -> bytes:
    """Events on these items, a minute apart."""
    return b"".join(
        encode_entry(int(item), 0, start_ms + 60_000 * at, None) for at, item in enumerate(items)
    )


def write_states(settings: Settings, users: int, events: int, items: int) -> None:
    """State directories as the worker leaves them: users 0 to ``users``, ``events`` events each."""
    generator = np.random.default_rng(3)
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    numbers = range(settings.kafka.partitions)
    batches = {number: WriteBatch(raw_mode=True) for number in numbers}
    for user in range(users):
        value = pack_sequence(
            events, 10 * user, events, entries(generator.integers(1, items, events))
        )
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

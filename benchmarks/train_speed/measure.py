"""The speed of every contender on the same batches, in turns."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.train_speed.contenders import ITEMS, SETTINGS, Contender
from everfresh.adapters.files.datasets import event_check, read_ml_1m
from everfresh.contracts.settings import EventSettings
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    cut_into_chunks,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.optimizer import build_optimizer, step
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

BATCH_TOKENS = 4_096
SEED = 7


def ml_1m_lengths(path: Path) -> list[int]:
    """Events of each user."""
    counts: dict[object, int] = {}
    for event in read_ml_1m(path, event_check(EventSettings())):
        counts[event.user_id] = counts.get(event.user_id, 0) + 1
    return list(counts.values())


def zipf_lengths(number: int) -> list[int]:
    """Many short sequences and few long ones."""
    drawn = np.random.Generator(np.random.PCG64(SEED)).zipf(1.2, size=number)
    return np.minimum(drawn, SETTINGS.max_length).tolist()


def make_batches(lengths: Sequence[int], number: int) -> list[Batch]:
    """``number`` batches of random events in sequences of these lengths, in random order."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    chunks = []
    for length in rng.permutation(np.asarray(lengths)):
        events = min(int(length), SETTINGS.max_length)
        codes = np.stack(
            [
                rng.integers(1, ITEMS + 1, events),
                np.ones(events, dtype=np.int64),
                rng.integers(3, 13, events),
                np.cumsum(rng.integers(0, 3_000, events)),
            ]
        )
        chunks += list(cut_into_chunks(EncodedExample(codes, 0), SETTINGS.max_length))
    groups = itertools.islice(group_by_tokens(chunks, BATCH_TOKENS), number)
    return [pack_batch(group) for group in groups]


def trained(contender: Contender, batches: Sequence[Batch]) -> Callable[[], float]:
    """A function that takes all steps and returns tokens per second of processor time."""
    settings = SETTINGS.model_copy(update={"negatives": contender.negatives})
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, ITEMS + 1))
    recommender = Recommender(settings, vocabulary, SEED)
    state = recommender.network.state_dict()
    recommender.network = contender.network(settings)
    recommender.grow()
    recommender.network.load_state_dict(state)
    optimizer = build_optimizer(recommender, 1e-3)
    tokens = sum(batch.tokens for batch in batches)

    def run() -> float:
        with contender.parts():
            began = time.process_time()
            for batch in batches:
                step(recommender, optimizer, batch)
            return tokens / (time.process_time() - began)

    return run


def measure(
    lengths: Sequence[int], number: int, repeats: int, contenders: Sequence[Contender]
) -> dict[str, list[float]]:
    """Tokens per second of every contender, one figure per repeat, in turns."""
    batches = make_batches(lengths, number)
    runs = {contender.name: trained(contender, batches) for contender in contenders}
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        began = time.process_time()
        run()
        print(f"{name}: first pass {time.process_time() - began:.1f} s", file=sys.stderr)
    for repeat in range(repeats):
        for name, run in runs.items():
            speeds[name].append(run())
        print(f"repeat {repeat + 1}/{repeats} done", file=sys.stderr)
    return speeds

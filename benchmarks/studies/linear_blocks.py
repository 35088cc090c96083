"""What does the linear block cost and bring, beside HSTU's, as histories grow? Backs decision 63.

    python -m benchmarks.studies.linear_blocks [--epochs N] [--seed N] [--quick] [--json FILE]
        [--data PATH]

Good: as high a hit rate as HSTU's, and more tokens per second at every length.

Speed: whole steps (forward, loss, backward, clipping, AdamW) of both on the same batches of
sequences of one length, in turns, by the process' own processor time; medians of the repeats.
Quality: MovieLens 100K, or a file of that form (``--data``). Of every user the last fifth of the
ratings is the test: each is ranked among all films that are new to the user, given the ratings
before it; nothing is learnt meanwhile. Both have the same number of blocks, width, heads, batches
and steps. What a cached user costs, ``benchmarks.user_cache --block linear`` tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import median, show_table, write_figures
from benchmarks.offline.measure import learning_rate
from everfresh.adapters.files.datasets import DATASETS, event_check, fetch_ml100k
from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import EventSettings, ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import scores
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    SequenceChunk,
    derive_seed,
    make_batches,
    pack_batch,
)
from everfresh.model.optimizer import build_optimizer, step
from everfresh.model.recommender import NETWORK, Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

Block = Literal["hstu", "linear"]
BLOCKS: tuple[Block, ...] = ("hstu", "linear")
LENGTHS = (200, 1_000, 2_000)
ITEMS, BATCH_TOKENS, BATCHES = 4_000, 4_096, 3
_QUALITY = ModelSettings(dim=64, blocks=2, heads=2, max_length=200, dropout=0.2)
_RATE, _SMALL_BATCH = 3e-3, 1_024


def speeds(length: int, repeats: int) -> dict[Block, float]:
    """Tokens per second of processor time when sequences have ``length`` tokens."""
    batches = [_batch(length, at) for at in range(BATCHES)]
    runs = {block: _steps(length, block, batches) for block in BLOCKS}
    taken: dict[Block, list[float]] = {block: [] for block in BLOCKS}
    for repeat in range(repeats + 1):
        for block, run in runs.items():
            began = time.process_time()
            run()
            if repeat:  # the first pass makes room
                taken[block].append(time.process_time() - began)
    tokens = sum(batch.tokens for batch in batches)
    return {block: tokens / median(each) for block, each in taken.items()}


def _batch(length: int, seed: int) -> Batch:
    rng = np.random.Generator(np.random.PCG64(seed))
    chunks = []
    for _ in range(max(1, BATCH_TOKENS // length)):
        times = np.cumsum(rng.integers(0, 3_000, length))
        values = rng.integers(3, 13, length)
        codes = np.stack([rng.integers(1, ITEMS, length), np.ones_like(values), values, times])
        chunks.append(SequenceChunk(EncodedExample(codes, 0), 0, 0, length))
    return pack_batch(chunks)


def _steps(length: int, block: Block, batches: Sequence[Batch]) -> Callable[[], None]:
    vocabulary = Vocabulary()
    vocabulary.admit(range(1, ITEMS + 1))
    settings = ModelSettings(max_length=length, block=block, negatives=512)
    recommender = Recommender(settings, vocabulary, 1)
    optimizer = build_optimizer(recommender, 1e-3)

    def run() -> None:
        for batch in batches:
            step(recommender, optimizer, batch)

    return run


def quality(path: Path, block: Block, epochs: int, seed: int) -> dict[str, float]:
    """HR@10, NDCG@10 and the last epoch's loss."""
    users: dict[UserId, list[Interaction]] = {}
    for event in DATASETS["ml-100k"](path, event_check(EventSettings())):
        seen = Interaction(event.item_id, event.type, event.time, event.value)
        users.setdefault(event.user_id, []).append(seen)
    parts = [(events[: -_fifth(events)], events[-_fifth(events) :]) for events in users.values()]
    training = [DecodedExample(at, [], known, [], []) for at, (known, _) in enumerate(parts)]
    tests = [DecodedExample(at, *each, [], []) for at, each in enumerate(parts)]
    settings = _QUALITY.model_copy(update={"block": block})
    recommender = Recommender(settings, Vocabulary(), seed)
    recommender.admit(training)
    optimizer = build_optimizer(recommender, _RATE)
    for epoch in range(epochs):
        torch.manual_seed(derive_seed(seed, epoch))
        order = derive_seed(seed, epoch, 1)
        batches = make_batches(training, recommender.vocabulary, settings, _SMALL_BATCH, order)
        losses = []
        for at, batch in enumerate(batches):
            optimizer.rate = learning_rate((epoch + (at + 1) / len(batches)) / epochs, _RATE)
            losses.append(step(recommender, optimizer, batch))
    ranks = recommender.ranks_by([NETWORK], tests, exclude_seen=True)[0]
    ranked = scores(ranks, (10,))
    loss = sum(losses) / len(losses)
    return {"hr10": ranked["hr10"], "ndcg10": ranked["ndcg10"], "loss": loss}


def _fifth(events: Sequence[Interaction]) -> int:
    return max(1, len(events) // 5)


def measure(
    path: Path, epochs: int, seed: int, repeats: int
) -> tuple[dict[int, dict[Block, float]], dict[Block, dict[str, float]]]:
    """Speeds by length, and quality, of both."""
    by_length = {length: speeds(length, repeats) for length in LENGTHS}
    return by_length, {block: quality(path, block, epochs, seed) for block in BLOCKS}


def show(
    by_length: Mapping[int, Mapping[Block, float]], ranked: Mapping[Block, Mapping[str, float]]
) -> None:
    """Two tables."""
    show_table(
        "Training, tokens per second of one core",
        ("tokens of a sequence", *(f"{block} ↑" for block in BLOCKS)),
        [(f"{n:,}", *(f"{s:,.0f}" for s in each.values())) for n, each in by_length.items()],
        good="linear above hstu",
    )
    show_table(
        "The last fifth of each user's ratings",
        ("block", "HR@10 ↑", "NDCG@10 ↑", "training loss ↓"),
        [(block, *(f"{value:.4f}" for value in each.values())) for block, each in ranked.items()],
        good="linear as high as hstu",
    )


def figures(
    by_length: Mapping[int, Mapping[Block, float]], ranked: Mapping[Block, Mapping[str, float]]
) -> dict[str, float]:
    """Each value by its block."""
    fast = {
        f"tokens_s_{block}_{length}": round(speed)
        for length, each in by_length.items()
        for block, speed in each.items()
    }
    good = {
        f"{name}_{block}": round(value, 4)
        for block, each in ranked.items()
        for name, value in each.items()
    }
    return fast | good


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = option_parser("studies.linear_blocks", __doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of the training for quality")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    epochs = 1 if options.quick else options.epochs
    path = options.data or fetch_ml100k()
    measured = measure(path, epochs, options.seed, options.repeats)
    show(*measured)
    write_figures(figures(*measured), began, options.json)


if __name__ == "__main__":
    main()

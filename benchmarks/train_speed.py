"""Training speed: tokens per second of one core, beside the same network in plain padded PyTorch.

    python -m benchmarks.train_speed [--data ratings.dat] [--compile]

All contenders take the same whole steps (forward, loss, backward, clipping, AdamW) on the same
batches, from the same weights, in turns on one thread. Only real tokens count. Speed is taken from
the process' own processor time, which other programs on the machine disturb less than the clock.
The ratio is the median over the repeats, each a comparison of neighbours in time.

Lengths: those of MovieLens 1M where ``--data`` names it, and Zipf (exponent 1.2, up to 200).
``--compile`` adds the plain network through ``torch.compile``, which needs a C++ compiler; what it
costs to be compiled is in its first pass, which is printed and counts in none of the figures. Ours
is no contender there: the graph breaks where tiles are cut by the lengths at hand, and a first pass
over three batches had not come to an end after two minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import matplotlib as mpl
import numpy as np
import torch

from benchmarks import _padded_hstu as plain
from benchmarks._harness import finish, median, show
from everfresh.adapters.files.datasets import read_ml_1m
from everfresh.contracts.settings import ModelSettings
from everfresh.model.network.batches import (
    Batch,
    EncodedExample,
    cut_into_chunks,
    group_by_tokens,
    pack_batch,
)
from everfresh.model.network.hstu import HSTU
from everfresh.model.optimizer import build_optimizer, step
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

mpl.use("Agg")  # no display is needed, and none is opened

from matplotlib import pyplot as plt

ITEMS = 4_000
BATCH_TOKENS = 4_096
SETTINGS = ModelSettings(
    dim=50, blocks=2, heads=1, max_length=200, dropout=0.2, temperature=0.05, negatives=512
)
"""The published sizes for MovieLens 1M, as in ``benchmarks.offline``."""
SEED = 7


@dataclass(frozen=True)
class Contender:
    """A way to train. ``padded``: the rectangle's length, 0 for the batch's longest."""

    name: str
    padded: int | None = None
    swaps: tuple[tuple[str, object], ...] = ()
    negatives: int = SETTINGS.negatives
    compiled: bool = False

    def network(self, settings: ModelSettings) -> HSTU:
        """Padded, or the product's own."""
        made = HSTU(settings) if self.padded is None else plain.PaddedHSTU(settings, self.padded)
        if self.compiled:
            made.compile(dynamic=True)
        return made

    @contextlib.contextmanager
    def parts(self) -> Iterator[None]:
        """The product with these parts put back to plain PyTorch."""
        with contextlib.ExitStack() as stack:
            for target, part in self.swaps:
                stack.enter_context(mock.patch(target, part))
            yield


_LOSS = ("everfresh.model.recommender.sampled_cross_entropy", plain.cross_entropy)
_DROPOUT = ("everfresh.model.network.hstu.thin", plain.dropout)
_ATTENTION = (
    ("everfresh.model.network.hstu.attend", plain.tile_by_tile),
    ("everfresh.model.network.attention_tiles._ROWS", 10**6),
)
CONTENDERS = (
    Contender("plain, padded to 200", SETTINGS.max_length, (_LOSS,)),
    Contender("plain, padded to the longest", 0, (_LOSS,)),
    Contender("packed", None, (_LOSS, _DROPOUT, *_ATTENTION)),
    Contender("packed, fused attention", None, (_LOSS, _DROPOUT)),
    Contender("packed, fused attention and loss", None, (_DROPOUT,)),
    Contender("everfresh", None),
    Contender("everfresh, softmax over all items", None, (), ITEMS),
)
COMPILED = Contender("plain, padded to 200, compiled", SETTINGS.max_length, (_LOSS,), compiled=True)
OURS, PADDED, PADDED_FULL = "everfresh", "plain, padded to the longest", "plain, padded to 200"


def ml_1m_lengths(path: Path) -> list[int]:
    """Events of each user."""
    counts: dict[object, int] = {}
    for event in read_ml_1m(path):
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
    found: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        began = time.process_time()
        run()
        print(f"{name}: first pass {time.process_time() - began:.1f} s", file=sys.stderr)
    for repeat in range(repeats):
        for name, run in runs.items():
            found[name].append(run())
        print(f"repeat {repeat + 1}/{repeats} done", file=sys.stderr)
    return found


def ratio(found: dict[str, list[float]], name: str) -> float:
    """How many times faster ours is than ``name``."""
    return median(ours / theirs for ours, theirs in zip(found[OURS], found[name], strict=True))


def report(where: str, found: dict[str, list[float]]) -> None:
    """One table."""
    rows = [
        (name, f"{median(speeds):,.0f}", f"{ratio(found, name):.2f}")
        for name, speeds in found.items()
    ]
    show(f"Training, lengths of {where}", ("", "tokens/s", "everfresh is faster by"), rows)


def draw(found: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Bars, one panel for each distribution of lengths."""
    figure, axes = plt.subplots(
        1, len(found), figsize=(5.5 * len(found), 3.4), dpi=130, layout="constrained", sharey=True
    )
    for axis, (where, speeds) in zip(np.atleast_1d(axes), found.items(), strict=True):
        names = list(speeds)[::-1]
        values = [median(speeds[name]) for name in names]
        colours = ["#0b7a4b" if name == OURS else "#a9b8b0" for name in names]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axis.set_title(f"lengths of {where}")
        axis.set_xlabel("tokens per second of one core")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="ratings.dat of MovieLens 1M, for its lengths")
    parser.add_argument("--quick", action="store_true", help="few batches, two repeats")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="with torch.compile as well")
    parser.add_argument("--plot", type=Path, help="draw the bars there")
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    number, repeats = (3, 2) if options.quick else (6, options.repeats)
    contenders = (*CONTENDERS, COMPILED) if options.compile else CONTENDERS
    lengths = {"Zipf": zipf_lengths(20_000)}
    if options.data:
        lengths = {"MovieLens 1M": ml_1m_lengths(options.data), **lengths}
    found: dict[str, dict[str, list[float]]] = {}
    figures: dict[str, float] = {}
    for where, each in lengths.items():
        speeds = measure(each, number, repeats, contenders)
        report(where, speeds)
        prefix = f"{where.lower()}_" if found else ""
        found[where] = speeds
        figures[f"{prefix}tokens_per_s"] = round(median(speeds[OURS]), 1)
        figures[f"{prefix}ratio_vs_padded"] = round(ratio(speeds, PADDED), 3)
        figures[f"{prefix}ratio_vs_padded_to_max"] = round(ratio(speeds, PADDED_FULL), 3)
    if options.plot:
        draw(found, options.plot)
    finish(figures, began, options.json)


if __name__ == "__main__":
    main()

"""Is a memory for replay that is chosen worth more than one drawn by chance?

    python -m benchmarks.studies.memories [--quick] [--json FILE] [--data PATH] [--seeds A,B]

Good: a choice whose HR@10 is ahead of chance by more than its interval, at the same cost.

Backs decision 64. Two streams in windows of 2,000 events: one that drifts, and MovieLens 100K. Each
window is ranked, then learnt with past examples from a memory of fixed size. What is in it is drawn
by chance (the reservoir that ships), the newest, what surprises the model most or least for its
item, what covers the users' vectors best (farthest point first; Gonzalez 1985), or herded as ADER
does. ``none`` learns the window alone. Choosing takes time, which is told apart. With ``--keep
FOLDER`` what was run is kept there, and not run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness.kept import kept_or_made
from benchmarks.harness.options import option_parser
from benchmarks.harness.report import show_table, write_figures
from benchmarks.studies.curation.gains import Gain, gain_over, hits, told
from benchmarks.studies.curation.streams import Stream, stream_of
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Ranks
from everfresh.model.recommender import NETWORK, TAIL, Recommender
from everfresh.trainer.learning.exemplars import Exemplars, read_examples
from everfresh.trainer.learning.learner import Learner, fresh_learner
from everfresh.trainer.learning.strategies.replay import Replay
from everfresh.trainer.learning.training import train_window

SIZES = {"drifting": 1_024, "ml-100k": 128}
"""Examples that a memory holds. MovieLens has few users in a window, and long rows of each."""
SHIPPED = {"chance": "random", "herding": "herding", "easiest": "loss"}
CHOICES = ("chance", "none", "newest", "surprising", "easiest", "covering", "herding")
WINDOWS, WINDOW = 30, 2_000
_HEADS = (
    *("memory", "HR@10 ↑", "network ↑", "over chance ↑"),
    *("tokens ↓", "training, CPU s ↓", "choosing, CPU s ↓"),
)
_QUICK = 3, 300, ("chance", "none", "covering")


class Case(NamedTuple):
    """A run; ``seed`` is of the stream, where it is made up, and of the training."""

    stream: str
    choice: str
    seed: int


class Result(msgspec.Struct, frozen=True):
    """``ranks`` as served, and of the network alone, are of all targets from the second window on;
    ``users`` are theirs. Seconds are of the processor, over all windows."""

    ranks: list[int]
    network: list[int]
    users: list[int]
    tokens: int
    train_s: float
    choose_s: float


class ChosenMemory(Exemplars):
    """A memory by a choice that the product does not have."""

    def choose(
        self, examples: Sequence[DecodedExample], recommender: Recommender, seed: int
    ) -> None:
        """Among those held and the ``examples``, older ones first."""
        del seed
        held = [*self._examples, *(self._cut(example) for example in examples)]
        self._offered += len(examples)
        vectors, losses, _ = read_examples(recommender, held, losses=self._by == "surprising")
        if self._by == "surprising":
            kept = np.sort(np.argsort(-losses.numpy(), kind="stable")[: self.size])
        elif self._by == "covering":
            kept = np.sort(farthest_first(vectors.numpy(), self.size))
        else:
            kept = np.arange(len(held))[-self.size :]
        self._examples = [held[at] for at in kept]


def farthest_first(vectors: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Which of the vectors ``(n, d)`` to keep: each the farthest from those kept before it, which
    comes within a factor of 2 of the best radius (Gonzalez 1985); ``number`` at most."""
    if len(vectors) <= number:
        return np.arange(len(vectors))
    kept = [len(vectors) - 1]
    nearest = np.linalg.norm(vectors - vectors[-1], axis=1)
    while len(kept) < number:
        kept.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(vectors - vectors[kept[-1]], axis=1))
    return np.array(kept)


def measure(case: Case, windows: int, size: int, kept: Path | None, data: Path | None) -> Result:
    """Run a case, or read what an earlier run of it left in the folder ``kept``."""

    def run() -> Result:
        return _run(case, stream_of(case.stream, case.seed, windows, size, data))

    return kept_or_made(kept, "_".join(map(str, case)), Result, run)


def _run(case: Case, stream: Stream) -> Result:
    settings, learner = _learner(case)
    recommender = learner.network.recommender
    ranks: list[Ranks] = []
    network: list[Ranks] = []
    users: list[int] = []
    tokens, train_s, choose_s = 0, 0.0, 0.0
    for at, window in enumerate(stream.windows):
        if at:
            served, alone = recommender.ranks_by(
                [TAIL, NETWORK], window.examples, stream.exclude_seen
            )
            ranks.append(served)
            network.append(alone)
            users += [int(each.user) for each in window.examples for _ in each.targets]
        began = time.process_time()
        tokens += train_window(learner.task(window, settings, at)).tokens
        trained = time.process_time()
        learner.strategy.remember(learner.network, window, at)
        train_s += trained - began
        choose_s += time.process_time() - trained
    return Result(
        np.concatenate(ranks).tolist(),
        np.concatenate(network).tolist(),
        users,
        tokens,
        train_s,
        choose_s,
    )


def _learner(case: Case) -> tuple[Settings, Learner]:
    tuning = {
        "seed": case.seed,
        "expire_after_s": 0.0,
        "strategy": "finetune" if case.choice == "none" else "replay",
        "replay_choice": SHIPPED.get(case.choice, "random"),
        "replay_examples": SIZES[case.stream],
    }
    settings = load_settings({"trainer": tuning})
    learner = fresh_learner(settings)
    if isinstance(learner.strategy, Replay) and case.choice not in SHIPPED:
        length = settings.model.max_length
        learner.strategy.memory = ChosenMemory(SIZES[case.stream], length, case.choice)
    return settings, learner


class Row(NamedTuple):
    """A choice on a stream over all seeds; the gain over chance is in HR@10 as served, with its
    95 % interval over users. Shares are of chance's."""

    choice: str
    hr10: float
    network: float
    gain: Gain
    tokens: float
    train_s: float
    choose_s: float


def rows_of(results: Mapping[Case, Result], stream: str) -> list[Row]:
    """One for each choice."""
    rows = []
    seeds = sorted({case.seed for case in results})
    chances = [results[Case(stream, "chance", seed)] for seed in seeds]
    for choice in dict.fromkeys(case.choice for case in results if case.stream == stream):
        mine = [results[Case(stream, choice, seed)] for seed in seeds]
        rows.append(
            Row(
                choice,
                float(np.mean(np.concatenate([hits(run.ranks) for run in mine]))),
                float(np.mean(np.concatenate([hits(run.network) for run in mine]))),
                gain_over(mine, chances),
                sum(run.tokens for run in mine) / sum(run.tokens for run in chances),
                sum(run.train_s for run in mine),
                sum(run.choose_s for run in mine),
            )
        )
    return rows


def show(results: Mapping[Case, Result]) -> None:
    """A table for each stream."""
    for stream in dict.fromkeys(case.stream for case in results):
        show_table(
            f"{stream}: HR@10 before it is learnt, by what is replayed",
            _HEADS,
            [
                [
                    *(row.choice, f"{row.hr10:.4f}", f"{row.network:.4f}"),
                    *(
                        told(row.gain),
                        f"{row.tokens:.1%}",
                        f"{row.train_s:.0f}",
                        f"{row.choose_s:.1f}",
                    ),
                ]
                for row in rows_of(results, stream)
            ],
            good="more hits than chance, by more than the interval, for as many tokens",
        )


def figures(results: Mapping[Case, Result]) -> dict[str, float]:
    """The flat object."""
    flat: dict[str, float] = {}
    for stream in dict.fromkeys(case.stream for case in results):
        for row in rows_of(results, stream):
            name = f"{stream}_{row.choice}"
            flat |= {f"hr10_{name}": row.hr10, f"network_{name}": row.network}
            flat |= {f"gain_{name}": row.gain[0], f"gain_{name}_low": row.gain[1]}
            flat |= {f"gain_{name}_high": row.gain[2], f"tokens_{name}": row.tokens}
            flat |= {f"train_s_{name}": row.train_s, f"choose_s_{name}": row.choose_s}
    return flat


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases, print tables and the flat JSON."""
    parser = option_parser("studies.memories", __doc__)
    parser.add_argument("--seeds", default="17", help="of the streams and of training")
    parser.add_argument("--streams", default=",".join(SIZES), help="which of them")
    parser.add_argument("--keep", type=Path, help="folder of results that are not run again")
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    windows, size, choices = _QUICK if options.quick else (WINDOWS, WINDOW, CHOICES)
    cases = [
        Case(stream, choice, int(seed))
        for stream in (["drifting"] if options.quick else options.streams.split(","))
        for choice in choices
        for seed in options.seeds.split(",")
    ]
    results = {case: measure(case, windows, size, options.keep, options.data) for case in cases}
    show(results)
    write_figures(figures(results), began, options.json)


if __name__ == "__main__":
    main()

"""Test, then train on what a rule leaves of each window; and what each window was worth."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.harness.kept import kept_or_made
from benchmarks.studies.curation.choices import CHOICES, Floats, Told
from benchmarks.studies.curation.streams import WINDOW, WINDOWS, Stream, stream_of
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.metrics import Ranks
from everfresh.model.network.batches import derive_seed
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.recommender import NETWORK, TAIL, VERSION, Recommender
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.scoring.window_measures import window_measures

RULES = {
    "drifting": ("all", "chance", "hardest", "easiest", "behind_counts", "bounded"),
    "spoilt": ("all", "chance", "hardest", "easiest", "behind_counts", "bounded", "honest"),
    "ml-100k": ("all", "chance", "hardest", "easiest", "behind_counts", "bounded"),
}
_ESCAPE = 100
"""An item that a version does not know takes as many bits as one of so many times its items."""


class Case(NamedTuple):
    """A run; ``seed`` is of the stream, where it is made up, and of the training."""

    stream: str
    rule: str
    seed: int

    @property
    def name(self) -> str:
        """Of the file that its results are kept in."""
        return "_".join(map(str, self))


class Worth(msgspec.Struct, frozen=True):
    """What window ``at`` was like before it was learnt, and what learning it gained: bits and
    HR@10 on the next window, by the version before it and the one after it, without a tail."""

    at: int
    measures: dict[str, float]
    bits: float
    hr10: float


class Result(msgspec.Struct, frozen=True):
    """``ranks`` as served, and of the network alone, are of all targets that nobody injected from
    the second window on; ``users`` are theirs. ``tokens`` and ``train_s`` (processor) are of all
    windows after the first. ``learnt`` is the share of their targets that was learnt."""

    ranks: list[int]
    network: list[int]
    users: list[int]
    tokens: int
    learnt: float
    train_s: float
    worth: list[Worth]


def measure(
    case: Case,
    windows: int = WINDOWS,
    size: int = WINDOW,
    kept: Path | None = None,
    data: Path | None = None,
) -> Result:
    """Run a case, or read what an earlier run of it left in the folder ``kept``."""

    def run() -> Result:
        return _run(case, stream_of(case.stream, case.seed, windows, size, data))

    return kept_or_made(kept, case.name, Result, run)


def _run(case: Case, stream: Stream) -> Result:
    settings = load_settings({"trainer": {"seed": case.seed, "expire_after_s": 0.0}})
    learner, opponents = fresh_learner(settings), Opponents()
    recommender = learner.network.recommender
    ranks: list[Ranks] = []
    network: list[Ranks] = []
    users: list[int] = []
    worth: list[Worth] = []
    targets = learnt = tokens = 0
    train_s = 0.0
    for at, window in enumerate(stream.windows):
        examples, parent = window.examples, None
        if at:
            served, alone, live = _ranked(recommender, window, stream.exclude_seen)
            people = ~stream.injected_in(window)
            ranks.append(served[people])
            network.append(alone[people])
            owners = [int(each.user) for each in examples for _ in each.targets]
            users += np.array(owners)[people].tolist()
            told = _told(settings, window, stream, opponents, live)
            examples = CHOICES[case.rule](examples, told)
            targets += window.events
            learnt += sum(example.taught for example in examples)
            if case.rule == "all":
                parent = copy.deepcopy(recommender)
        began = time.process_time()
        part = msgspec.structs.replace(window, examples=examples)
        outcome = train_window(learner.task(part, settings, at, window.examples))
        learner.strategy.remember(learner.network, part, at)
        if at:
            train_s += time.process_time() - began
            tokens += outcome.tokens
        if parent is not None and at + 1 < len(stream.windows):
            following = stream.windows[at + 1]
            people = ~stream.injected_in(following)
            gained = _gained(parent, recommender, following, people, stream.exclude_seen)
            worth.append(Worth(at, _measured(window, told), *gained))
        opponents.update(window.examples, window.label)
    return Result(
        np.concatenate(ranks).tolist(),
        np.concatenate(network).tolist(),
        users,
        tokens,
        learnt / targets,
        train_s,
        worth,
    )


def _told(
    settings: Settings, window: TrainingWindow, stream: Stream, opponents: Opponents, live: Floats
) -> Told:
    items = [target.item for example in window.examples for target in example.targets]
    shares = opponents.popularity.shares(items)
    least = 1.0 / (_ESCAPE * max(1, len(opponents.vocabulary)))
    return Told(
        live,
        -np.log2(np.where(shares > 0, shares, least)),
        stream.injected_in(window),
        settings.model.max_length,
        derive_seed(settings.trainer.seed, window.label),
    )


def _measured(window: TrainingWindow, told: Told) -> dict[str, float]:
    """As the trainer's, but for bits on items that are not known, which are counted here."""
    live, popular = float(told.live.mean()), float(told.popular.mean())
    bits = {"bits_live": live, "bits_popularity": popular, "bits_behind": live - popular}
    return bits | window_measures(window.examples)


def _ranked(
    recommender: Recommender, window: TrainingWindow, exclude_seen: bool
) -> tuple[Ranks, Ranks, Floats]:
    """Ranks as served and by the network alone, and bits as served."""
    bits = _Bits(window.events)
    ways = [TAIL, NETWORK]
    served, alone = recommender.ranks_by(ways, window.examples, exclude_seen, bits)
    return served, alone, bits.known(len(recommender.vocabulary))


def _gained(
    before: Recommender,
    after: Recommender,
    window: TrainingWindow,
    people: NDArray[np.bool_],
    exclude_seen: bool,
) -> tuple[float, float]:
    """Fewer bits, and more HR@10."""
    means = []
    for version in (before, after):
        bits = _Bits(window.events)
        ranks = version.ranks_by([VERSION], window.examples, exclude_seen, bits)[0]
        told = bits.known(len(after.vocabulary))
        means.append((float(told[people].mean()), float((ranks[people] <= 10).mean())))
    return means[0][0] - means[1][0], means[1][1] - means[0][1]


class _Bits:
    """Listens to a ranking."""

    def __init__(self, targets: int) -> None:
        self._bits = np.full(targets, np.inf)

    def wants(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """All of them; see ``model.ranks.rank_blocks.Heard``."""
        return np.arange(len(targets))

    def hear(self, targets: NDArray[np.int64], nats: Tensor) -> None:
        """See ``model.ranks.rank_blocks.Heard``."""
        self._bits[targets] = nats.double().cpu().numpy() / math.log(2)

    def known(self, items: int) -> Floats:
        """Of each target; of items without a row by the escape."""
        return np.where(np.isfinite(self._bits), self._bits, math.log2(_ESCAPE * max(1, items)))

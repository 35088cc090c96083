"""Contenders on such windows: the model with what an arm knows, and the opponents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.studies.cold_items.streams import Known, Stream
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.cold_items import ColdItems, WithCold
from everfresh.model.metrics import Ranks
from everfresh.model.network.batches import encode_example
from everfresh.model.opponents.opponents import OPPONENTS, Opponents
from everfresh.model.ranking import Scorer
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.content_steps import (
    contents_of_new,
    renew_contents,
    weigh_contents,
)
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.training import train_window


def run_arm(stream: Stream, settings: Settings, known: Sequence[Known]) -> tuple[Ranks, Ranks]:
    """Ranks of all targets after the first window, and those among cold items alone."""
    learner = fresh_learner(settings)
    network = learner.network
    ranks, shelf = [], []
    for at, window in enumerate(stream.windows):
        if at:
            ranks.append(WithCold(network.recommender, known[at]).ranks(window.examples, True))
            shelf.append(_among_cold(network.recommender, known[at], window))
        offset = weigh_contents(network.recommender, window.examples, known[at], settings, at)
        new = contents_of_new(network.recommender, window.examples, known[at].get)
        train_window(learner.task(window, settings, at, contents=new))
        if known[at]:
            renew_contents(network.recommender, known[at].get, settings, at, offset)
        learner.strategy.remember(network, window, at)
    return np.concatenate(ranks), np.concatenate(shelf)


def _among_cold(recommender: Recommender, known: Known, window: TrainingWindow) -> Ranks:
    """The rank of each cold target among all cold items, 0 for others."""
    cold = ColdItems.of(recommender, known)
    encoded = [encode_example(example, recommender.vocabulary) for example in window.examples]
    scorer = Scorer(recommender.network, recommender.catalogue(), None)
    users = scorer.users(encoded, recommender.settings.max_length).numpy()
    targets = [target.item for example in window.examples for target in example.targets]
    ranks = np.zeros(len(targets), np.int64)
    for at, item in enumerate(targets):
        if (place := cold.places.get(item)) is not None:
            scores = cold.vectors @ users[at]
            ranks[at] = int((scores >= scores[place]).sum())
    return ranks


def run_opponents(stream: Stream) -> dict[str, Ranks]:
    """Popularity, Markov and neighbours, as ``everfresh evaluate`` has them."""
    opponents = Opponents()
    ranked: dict[str, list[Ranks]] = {name: [] for name in OPPONENTS}
    for at, window in enumerate(stream.windows):
        if at:
            for name, opponent in opponents.contenders().items():
                ranked[name].append(opponent.ranks(window.examples, True))
        opponents.update(window.examples, window.label, None, True)
    return {name: np.concatenate(of) for name, of in ranked.items()}

"""The network that a window trains, with its optimizer's state, and what training came to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import Optimizer, build_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.model.vocabulary.vocabulary import Vocabulary


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: Optimizer


@dataclass(frozen=True)
class TrainingOutcome:
    """What training a window came to: mean loss over its steps, their number, tokens seen.

    Every row of any table with a row per item that the window has changed is in ``touched``, which
    ascends: of weights, trends, vocabulary and the optimizer's state. It may have others too.
    """

    loss: float
    steps: int
    tokens: int = 0
    touched: ItemRows = field(default_factory=lambda: np.zeros(0, np.int64))


def fresh_network(settings: Settings) -> Network:
    """Untrained, with an empty vocabulary."""
    tuning, vocabulary = settings.trainer, Vocabulary(settings.model.admit_after)
    recommender = Recommender(settings.model, vocabulary, tuning.seed).to(tuning.device)
    return Network(recommender, build_optimizer(recommender, tuning.learning_rate))

"""The network that a window trains, with its optimizer's state, and what training came to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import build_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: torch.optim.AdamW


@dataclass(frozen=True)
class TrainingOutcome:
    """What training a window came to: mean loss over its steps, their number, tokens seen."""

    loss: float
    steps: int
    tokens: int = 0


def fresh_network(settings: Settings) -> Network:
    """Untrained, with an empty vocabulary."""
    tuning, vocabulary = settings.trainer, Vocabulary(settings.model.admit_after)
    recommender = Recommender(settings.model, vocabulary, tuning.seed).to(tuning.device)
    return Network(recommender, build_optimizer(recommender, tuning.learning_rate))

"""The network that a window trains, with its optimizer's state, and what training came to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import build_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints
from everfresh.model.version_files import begin_version
from everfresh.model.vocabulary.vocabulary import Vocabulary


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: torch.optim.AdamW

    def touched_rows(self) -> Ints | None:
        """Item rows whose weights or moments may differ from the parent version's, ascending;
        ``None`` where that is not known."""
        return None

    def begin_version(self) -> None:
        """A version holds all of it; from now on only what is touched differs."""
        begin_version(self.recommender)


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

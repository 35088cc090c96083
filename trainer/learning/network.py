"""The network that a window trains, with its optimizer's state, and what training came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from everfresh.contracts.settings import Settings
from everfresh.model.optimizer import Optimizer, build_optimizer, restore_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints, TouchedRows
from everfresh.model.version_files import begin_version
from everfresh.model.vocabulary.vocabulary import Vocabulary


@dataclass
class Network:
    """What a candidate may spoil: the recommender and its optimizer's state."""

    recommender: Recommender
    optimizer: Optimizer

    touched: TouchedRows | None = field(default_factory=TouchedRows)
    """Item rows since the last version; ``None`` once that is not known."""

    def touch(self, rows: Ints | None) -> None:
        """Training has changed weights or moments of these rows, or of any: ``None``."""
        if rows is None:
            self.touched = None
        elif self.touched is not None:
            self.touched.extend(rows)

    def touched_rows(self) -> Ints | None:
        """Item rows whose weights or moments may differ from the parent version's, ascending;
        ``None`` where that is not known."""
        rows = self.recommender.vocabulary.rows
        return None if self.touched is None else self.touched.rows(rows)

    def begin_version(self) -> None:
        """A version holds all of it; from now on only what is touched differs."""
        begin_version(self.recommender)
        self.touched = TouchedRows(self.recommender.vocabulary.rows)


@dataclass(frozen=True)
class TrainingOutcome:
    """What training a window came to: mean loss over its steps, their number, tokens seen.

    Every row of any table with a row per item that the window has changed is in ``touched``, which
    ascends: of weights, trends, vocabulary and the optimizer's state. It may have others too;
    ``None``: any.
    """

    loss: float
    steps: int
    tokens: int = 0
    touched: Ints | None = None


def fresh_network(settings: Settings) -> Network:
    """Untrained, with an empty vocabulary."""
    tuning, vocabulary = settings.trainer, Vocabulary(settings.model.admit_after)
    recommender = Recommender(settings.model, vocabulary, tuning.seed).to(tuning.device)
    return Network(recommender, build_optimizer(recommender, tuning.learning_rate))


def restored_network(recommender: Recommender, state: bytes, settings: Settings) -> Network:
    """The weights of a version and its optimizer's ``state``, to train on, bit-equal."""
    recommender.to(settings.trainer.device)
    optimizer = build_optimizer(recommender, settings.trainer.learning_rate)
    restore_optimizer(optimizer, recommender, state)
    network = Network(recommender, optimizer)
    network.begin_version()
    return network

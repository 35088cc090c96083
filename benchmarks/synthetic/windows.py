"""Windows of made-up clicks over a catalogue of any size, and a learner to train by them."""

from __future__ import annotations

import numpy as np

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.learning.learner import Learner, fresh_learner

_USERS, _TARGETS, _CONTEXT = 300, 3, 60
_BEGAN_MS = 1_700_000_000_000


def skewed_window(label: int, items: int, draws: np.random.Generator) -> TrainingWindow:
    """900 events of 300 users with histories of 60, of which a few items have many."""
    examples = []
    for user in range(_USERS):
        # Each window is by users of its own.
        began = _BEGAN_MS + 10_000_000 * label + 10 * user
        drawn = (items * draws.random(_CONTEXT + _TARGETS) ** 3).astype(int).tolist()
        events = [Interaction(item, "click", began + 1000 * at) for at, item in enumerate(drawn)]
        offsets = list(range(_TARGETS))
        examples.append(
            DecodedExample(user, events[:_CONTEXT], events[_CONTEXT:], offsets, [began] * _TARGETS)
        )
    return TrainingWindow(label=label, ranges={}, examples=examples, next_read={})


def untrained_learner(items: int, settings: Settings) -> Learner:
    """Of so many items, numbered from 0, all of them admitted."""
    learner = fresh_learner(settings)
    recommender = learner.network.recommender
    for label in (0, 1):
        recommender.vocabulary.admit(list(range(items)), label)
    recommender.vocabulary.admit_actions(["click"])
    recommender.grow()
    return learner

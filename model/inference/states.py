"""What is kept of a user's history, by the kind of the network's blocks."""

from __future__ import annotations

from everfresh.contracts.settings import ModelSettings
from everfresh.model.inference.incremental import HistoryStates
from everfresh.model.inference.linear_states import LinearStates

UserStates = HistoryStates | LinearStates
"""Both are extended and peeked at alike."""


def new_states(settings: ModelSettings) -> UserStates:
    """Of a history of which nothing was read yet."""
    kind = LinearStates if settings.block == "linear" else HistoryStates
    return kind(settings.max_length)

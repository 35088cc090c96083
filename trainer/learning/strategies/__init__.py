"""Strategies of learning from the stream, by setting (``trainer.strategy``); one file each."""

from __future__ import annotations

from everfresh.contracts.settings import Settings
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.strategies.distill import Distill
from everfresh.trainer.learning.strategies.ewc import Ewc
from everfresh.trainer.learning.strategies.finetune import Finetune
from everfresh.trainer.learning.strategies.frozen import Frozen
from everfresh.trainer.learning.strategies.replay import Replay
from everfresh.trainer.learning.strategies.retrain import Retrain

STRATEGIES: dict[str, type[Strategy]] = {
    "frozen": Frozen,
    "finetune": Finetune,
    "replay": Replay,
    "distill": Distill,
    "ewc": Ewc,
    "retrain": Retrain,
}


def build_strategy(settings: Settings) -> Strategy:
    """The strategy that the settings name, with an empty memory."""
    return STRATEGIES[settings.trainer.strategy](settings)

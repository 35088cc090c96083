"""Strategies of learning from the stream, by setting (``trainer.strategy``); one file each."""

from __future__ import annotations

from contracts.settings import Settings
from trainer.strategies.base import Strategy
from trainer.strategies.distill import Distill
from trainer.strategies.ewc import Ewc
from trainer.strategies.finetune import Finetune
from trainer.strategies.frozen import Frozen
from trainer.strategies.replay import Replay
from trainer.strategies.retrain import Retrain

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

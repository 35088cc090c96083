"""Fine-tune: passes over the new window alone. Cheapest, and the past may be washed out."""

from __future__ import annotations

from everfresh.trainer.learning.strategies.base import Strategy


class Finetune(Strategy):
    """The plain case; has no memory."""

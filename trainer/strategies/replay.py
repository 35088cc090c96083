"""Replay: every pass mixes the window with a new draw of past examples, so that they stay learnt.

The past is a reservoir: every example ever trained has the same chance to be in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts.errors import CorruptVersion
from contracts.settings import Settings
from contracts.window import TrainingWindow
from trainer.reservoir import Reservoir, ReservoirState
from trainer.strategies.base import Lot, Strategy

if TYPE_CHECKING:
    from trainer.learn import Network

_DRAW, _OFFER = 1, 2
"""Second numbers of the seeds of replay, apart from the epochs' (which have a third)."""


class Replay(Strategy):
    """Up to ``trainer.replay_examples``; ``trainer.replay_ratio`` past events per new one."""

    memory_kind = "reservoir"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.memory = Reservoir(settings.trainer.replay_examples, settings.model.max_length)

    def lots(self, network: Network, window: TrainingWindow, number: int, epoch: int) -> list[Lot]:
        """The window's targets once, and replayed ones among them."""
        past = self.memory.draw(
            self.settings.trainer.replay_ratio * window.events, self.seed(number, _DRAW, epoch)
        )
        mixed = self.batches(network, window.examples + past, number, epoch)
        return [Lot(batch) for batch in mixed]

    def remember(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Offer the window's examples to the reservoir."""
        self.memory.offer(window.examples, self.seed(number, _OFFER))

    def encode(self) -> bytes:
        """The reservoir, msgpack."""
        return msgspec.msgpack.encode(self.memory.state)

    def restore(self, raw: bytes) -> None:
        """A smaller size in the settings is kept to."""
        try:
            state = msgspec.msgpack.decode(raw, type=ReservoirState)
        except msgspec.MsgspecError as error:
            raise CorruptVersion(
                f"a reservoir was expected, found other bytes ({error}); take another version"
            ) from None
        self.memory = Reservoir(self.memory.size, self.memory.max_context, state)

"""Replay: every pass mixes the window with a new draw of past examples, so that they stay learnt.

By ``trainer.replay_choice`` the past is a reservoir, in which every example ever trained has the
same chance to be, or exemplars chosen by what the model makes of them
(``trainer.learning.exemplars``).
"""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.learning.exemplars import Exemplars
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.reservoir import Reservoir, ReservoirState
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training_batch import TrainingBatch

_DRAW, _OFFER = 1, 2
"""Second numbers of the seeds of replay, apart from the epochs' (which have a third)."""


class Replay(Strategy):
    """Up to ``trainer.replay_examples``; ``trainer.replay_ratio`` past events per new one."""

    memory_kind = "reservoir"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        size, length = settings.trainer.replay_examples, settings.model.max_length
        by = settings.trainer.replay_choice
        self.memory = Reservoir(size, length) if by == "random" else Exemplars(size, length, by)

    def training_batches(
        self, network: Network, window: TrainingWindow, number: int, epoch: int
    ) -> list[TrainingBatch]:
        """The window's targets once, and replayed ones among them."""
        mixed = window.examples + self.draw(window, number, epoch)
        return [
            TrainingBatch(batch) for batch in self.shuffled_batches(network, mixed, number, epoch)
        ]

    def draw(self, window: TrainingWindow, number: int, epoch: int) -> list[DecodedExample]:
        """The past of one pass."""
        events = self.settings.trainer.replay_ratio * window.events
        return self.memory.draw(events, self.seed(number, _DRAW, epoch))

    def remember(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Offer the window's examples to the reservoir, or choose among all anew."""
        seed = self.seed(number, _OFFER)
        if isinstance(self.memory, Exemplars):
            self.memory.choose(window.examples, network.recommender, seed)
        else:
            self.memory.offer(window.examples, seed)

    def encode(self) -> bytes:
        """Those held, msgpack."""
        return msgspec.msgpack.encode(self.memory.state)

    def restore(self, raw: bytes) -> None:
        """A smaller size in the settings is kept to."""
        try:
            state = msgspec.msgpack.decode(raw, type=ReservoirState)
        except msgspec.MsgspecError as error:
            raise CorruptVersion(
                f"a reservoir was expected, found other bytes ({error}); take another version"
            ) from None
        self.memory.restore(state)

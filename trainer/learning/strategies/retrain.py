"""Full retrain: forget the weights and learn everything ever seen from nothing, every window.

The yardstick of the others, as people do it nightly: the cost of a window grows with the stream,
and so do memory and checkpoint, which hold all events. Each user's events are joined into one
sequence, so that no context is computed twice.
"""

from __future__ import annotations

import msgspec

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.event import UserId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.recommender import Recommender
from everfresh.model.weights import copy_into
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training_batch import TrainingBatch


class Retrain(Strategy):
    """``trainer.first_epochs`` passes over all events so far, from fresh weights."""

    memory_kind = "all events"
    continues = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._past: dict[UserId, DecodedExample] = {}

    def passes(self, number: int) -> int:
        """Each time as for a first window."""
        return super().passes(0)

    def begin(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Fresh weights for every row, no momentum; the vocabulary stays."""
        recommender = network.recommender
        fresh = Recommender(recommender.settings, recommender.vocabulary, recommender.seed)
        copy_into(recommender.network.state_dict(), fresh.network.state_dict(), "fresh weights")
        recommender.grow()  # drops the scores that it kept of the old weights
        network.optimizer.clear()

    def training_batches(
        self, network: Network, window: TrainingWindow, number: int, epoch: int
    ) -> list[TrainingBatch]:
        """Every event so far, once."""
        everything = list(_joined(self._past, window).values())
        return [
            TrainingBatch(batch)
            for batch in self.shuffled_batches(network, everything, number, epoch)
        ]

    def remember(self, network: Network, window: TrainingWindow, number: int) -> None:
        """Keep the window's events."""
        self._past = _joined(self._past, window)

    def encode(self) -> bytes:
        """All events so far, msgpack."""
        return msgspec.msgpack.encode(list(self._past.values()))

    def restore(self, raw: bytes) -> None:
        """All events so far."""
        try:
            examples = msgspec.msgpack.decode(raw, type=list[DecodedExample])
        except msgspec.MsgspecError as error:
            raise CorruptVersion(
                f"past examples were expected, found other bytes ({error}); take another version"
            ) from None
        self._past = {example.user: example for example in examples}


def _joined(
    past: dict[UserId, DecodedExample], window: TrainingWindow
) -> dict[UserId, DecodedExample]:
    joined = dict(past)
    for example in window.examples:
        before = joined.get(example.user)
        joined[example.user] = example if before is None else _append(before, example)
    return joined


def _append(before: DecodedExample, after: DecodedExample) -> DecodedExample:
    joined = DecodedExample(
        before.user,
        before.context,
        before.targets + after.targets,
        before.offsets + after.offsets,
        before.appended + after.appended,
        before.marks + after.marks if before.refused or after.refused else [],
    )
    late = before.offsets and after.offsets and after.offsets[0] < before.offsets[-1]
    return _in_order(joined) if late else joined


def _in_order(example: DecodedExample) -> DecodedExample:
    """By offset: what the gate held out comes some windows late."""
    order = sorted(range(len(example.offsets)), key=lambda at: example.offsets[at])
    return msgspec.structs.replace(
        example,
        targets=[example.targets[at] for at in order],
        offsets=[example.offsets[at] for at in order],
        appended=[example.appended[at] for at in order],
        refused=[example.refused[at] for at in order] if example.refused else [],
    )

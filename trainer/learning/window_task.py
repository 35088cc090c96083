"""The argument of a training call: one window to train, and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.content.features import Features
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.strategies.base import Strategy


@dataclass(frozen=True)
class WindowTask:
    """Train ``network`` in place on ``window``, as ``strategy`` has it.

    ``number`` is that of the step in the lineage, 0 for the first; it seeds all that is
    random. Items are counted in the targets of ``sighted`` where the examples of ``window`` are
    not those that its slices brought (some are held out, some come late). ``contents`` are known of
    items that are new in it.
    """

    network: Network
    strategy: Strategy
    window: TrainingWindow
    settings: Settings
    number: int
    sighted: Sequence[DecodedExample] | None = None
    contents: Mapping[ItemId, Features] = field(default_factory=dict)

    @property
    def admitted(self) -> Sequence[DecodedExample]:
        """The examples whose items are admitted to the vocabulary."""
        return self.window.examples if self.sighted is None else self.sighted

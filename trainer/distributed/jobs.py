"""What workers are told of a window, and what they answer. No framework: Ray's are elsewhere.

A worker keeps the networks that it has trained: where the trainer goes on with one, a job brings
the window alone, so that it costs the same whatever the catalogue. Any other network comes whole,
as to a worker that takes a lost one's place: the group stands where the manifest does (law 5).
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from everfresh.contracts.errors import WorkerLost
from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.content.content_map import ContentMap
from everfresh.model.content.features import Features
from everfresh.model.optimizer import encode_optimizer
from everfresh.model.recommender import Recommender
from everfresh.model.touched_rows import Ints
from everfresh.model.weights import tensor_table
from everfresh.trainer.learning.network import Network, restored_network
from everfresh.trainer.learning.stepper import Stepper
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.training import changed_weights, train_window
from everfresh.trainer.learning.window_task import WindowTask


@dataclass(frozen=True)
class WholeNetwork:
    """Weights and optimizer state, as bytes."""

    model: dict[str, bytes]
    optimizer: bytes


@dataclass(frozen=True)
class Job:
    """One window for a worker: a ``WindowTask`` as bytes, with the settings of its track.

    ``line`` tells apart the networks that the trainer goes on with, one of each track. ``parent``
    is what the window is trained on: a whole network, or the digest that the worker answered last,
    of the one that it has kept of this line. Of lines that are not ``alive`` it needs none.
    """

    line: int
    parent: WholeNetwork | str
    alive: frozenset[int]
    content: ContentMap
    memory: bytes
    window: TrainingWindow
    number: int
    sighted: Sequence[DecodedExample] | None
    settings: Settings
    contents: Mapping[ItemId, Features]


@dataclass
class _Sent:
    network: weakref.ref[Network]
    digest: str | None = None


class SentNetworks:
    """The trainer's side: which networks the workers of a group have, and how they left them.

    A network that the trainer replaces (it held a window, rolled back, or was started again) is
    another one. One that it goes on with is as the last job left it but for its index, which no
    training reads, and what contents say, which every job brings.
    """

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}
        self._made = 0

    def describe(self, task: WindowTask) -> Job:
        """To be made before training begins: the task's network is trained in place."""
        self._sent = {n: sent for n, sent in self._sent.items() if sent.network() is not None}
        network = task.network
        line = next((n for n, sent in self._sent.items() if sent.network() is network), None)
        if line is None:
            line, self._made = self._made, self._made + 1
            self._sent[line] = _Sent(weakref.ref(network))
        sent = self._sent[line]
        parent, sent.digest = sent.digest or _whole(network), None
        return Job(
            line,
            parent,
            frozenset(self._sent),
            network.recommender.content,
            task.strategy.encode(),
            task.window,
            task.number,
            task.sighted,
            task.settings,
            task.contents,
        )

    def trained(self, job: Job, digest: str) -> None:
        """All workers have answered ``digest``."""
        self._sent[job.line].digest = digest


class KeptNetworks:
    """A worker's side."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Network, str]] = {}

    def do(self, job: Job, stepper: Stepper) -> str:
        """Train as the others do; the digest of what was reached.

        ``WorkerLost`` where this worker has not what the job goes on from.
        """
        kept = self._kept.pop(job.line, None)
        self._kept = {n: other for n, other in self._kept.items() if n in job.alive}
        settings = job.settings
        if isinstance(job.parent, WholeNetwork):
            model = settings.model.model_dump(mode="json")
            recommender = Recommender.load(model, job.parent.model)
            network = restored_network(recommender, job.parent.optimizer, settings)
        elif kept is None or kept[1] != job.parent:
            raise WorkerLost("it has not trained the window before")
        else:
            network = kept[0]
            network.begin_version()
        network.recommender.content = job.content
        strategy = build_strategy(settings)
        strategy.restore(job.memory)
        task = WindowTask(
            network, strategy, job.window, settings, job.number, job.sighted, job.contents
        )
        digest = weights_digest(network, train_window(task, stepper).touched)
        self._kept[job.line] = network, digest
        return digest


def _whole(network: Network) -> WholeNetwork:
    recommender = network.recommender
    return WholeNetwork(recommender.save(), encode_optimizer(network.optimizer, recommender))


def weights_digest(network: Network, touched: Ints | None) -> str:
    """Of weights, trends and vocabulary after a window, equal for all members of a group.

    Of tables with a row per item, the rows that it has ``touched`` alone; ``None``: all of them.
    """
    digest, recommender = hashlib.sha256(), network.recommender
    for weight in changed_weights(network, touched):
        digest.update(tensor_table(weight).data)
    tables = recommender.trends.tables() | dict(recommender.vocabulary.tables().tensors)
    for name, table in sorted(tables.items()):
        digest.update(f"{name} {list(table.shape)}".encode())
        data = np.frombuffer(table.data, np.uint8)
        if table.touched is not None and touched is not None:
            data = data.reshape(table.shape[0], -1)[touched[touched < table.shape[0]]]
        digest.update(np.ascontiguousarray(data).data)
    return digest.hexdigest()

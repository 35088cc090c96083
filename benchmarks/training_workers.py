"""What does a second training process cost a window, beside training, as the catalogue grows?

    python -m benchmarks.training_workers [--quick] [--json FILE] [--repeats N]

Good: as much at a million items as at a thousand.

A learner of so many items (default network) trains windows of 900 events of 300 users with
histories of 60, on skewed items. A worker's side stands in the same process and trains the same
windows, each told it as Ray would: as pickled bytes. ``handed_s`` are the CPU seconds of all that
is not training: to describe the window, to take it, and to agree on what was reached, on both
sides. The ``whole`` figures are of the same windows for a worker that has not got the network, as
after a lost one; builds before handed over every window so. Seconds are medians.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.distributed import HashStore

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import figures_by_size, median, show_table, write_figures
from benchmarks.synthetic.windows import skewed_window, untrained_learner
from everfresh.contracts.settings import load_settings
from everfresh.trainer.distributed.data_parallel import DataParallelMember
from everfresh.trainer.distributed.jobs import KeptNetworks, SentNetworks, weights_digest
from everfresh.trainer.learning.learner import remember
from everfresh.trainer.learning.network import Network
from everfresh.trainer.learning.stepper import Stepper
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.learning.training_batch import TrainingBatch
from everfresh.trainer.learning.window_task import WindowTask

SIZES = 1_000, 10_000, 100_000, 1_000_000
_TIMEOUT_S = 60.0


class Timed(Stepper):
    """One process alone, which counts the CPU seconds of its steps."""

    def __init__(self) -> None:
        self._member = DataParallelMember(HashStore(), 0, 1, _TIMEOUT_S)
        self.steps_s = 0.0

    def descend(self, network: Network, strategy: Strategy, batch: TrainingBatch) -> float:
        """See ``Stepper``."""
        began = time.process_time()
        loss = self._member.descend(network, strategy, batch)
        self.steps_s += time.process_time() - began
        return loss


def measure(items: int, repeats: int) -> dict[str, float]:
    """Medians over ``repeats`` windows after the first; of one window for a worker that has not got
    the network."""
    torch.set_num_threads(1)
    settings = load_settings({"trainer": {"max_items": 2 * items}})
    learner = untrained_learner(items, settings)
    draws = np.random.Generator(np.random.PCG64(3))
    sent, worker = SentNetworks(), KeptNetworks()
    kept: list[dict[str, float]] = []
    for number in range(1, repeats + 2):
        window = skewed_window(number, items, draws)
        kept.append(_hand_over(sent, worker, learner.task(window, settings, number)))
        remember(learner, window, number)
        learner.begin_version()
    window = skewed_window(repeats + 2, items, draws)
    again = learner.task(window, settings, repeats + 2)
    whole = _hand_over(SentNetworks(), KeptNetworks(), again)
    found = {key: median([each[key] for each in kept[1:]]) for key in kept[0]}
    return {**found, **{f"whole_{key}": value for key, value in whole.items()}}


def _hand_over(sent: SentNetworks, worker: KeptNetworks, task: WindowTask) -> dict[str, float]:
    began = time.process_time()
    job = sent.describe(task)
    raw = pickle.dumps(job)
    told_s, own, theirs = time.process_time() - began, Timed(), Timed()
    # What is not a step and is done by one process alone, too: batches, admission, negatives.
    began = time.process_time()
    outcome = train_window(task, own)
    alone_s = time.process_time() - began - own.steps_s
    began = time.process_time()
    digest = weights_digest(task.network, outcome.touched)
    agreed_s, began = time.process_time() - began, time.process_time()
    answer = worker.do(pickle.loads(raw), theirs)
    taken_s = time.process_time() - began - theirs.steps_s - alone_s
    assert answer == digest, "both train to the same weights"
    sent.trained(job, digest)
    handed_s = told_s + taken_s + agreed_s
    return {"job_mb": len(raw) / 1e6, "handed_s": handed_s, "train_s": own.steps_s + alone_s}


def show(measured: Mapping[int, Mapping[str, float]]) -> None:
    """A row for each number of items."""
    names = ("job_mb", "handed_s", "whole_job_mb", "whole_handed_s", "train_s")
    show_table(
        "A window for one more training process, as the catalogue grows",
        ["items", "job, MB ↓", "handed over, s ↓", "whole: job, MB", "whole: s", "training, s"],
        [
            [f"{items:,}", *(f"{medians[name]:.3g}" for name in names)]
            for items, medians in measured.items()
        ],
        good="as much at a million items as at a thousand",
    )


def figures(measured: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """``job_mb_1000`` and so on; those of whole networks begin with ``whole_``."""
    return figures_by_size(measured)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("training_workers", __doc__, argv)
    began = time.monotonic()
    sizes = SIZES[:2] if options.quick else SIZES
    measured = {items: measure(items, options.repeats) for items in sizes}
    show(measured)
    write_figures(figures(measured), began, options.json)


if __name__ == "__main__":
    main()

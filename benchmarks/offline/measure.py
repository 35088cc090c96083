"""Trains a model on MovieLens 1M epoch by epoch, and tests it."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import torch

from benchmarks.offline.leave_one_out import LeaveOneOut, read_users
from benchmarks.offline.published import (
    NEGATIVES,
    CosineRecommender,
    PublishedRecommender,
    quicksorted,
)
from benchmarks.offline.runs import AS_PLANNED, MODELS, Epoch, Run, Variant
from everfresh.model.network.batches import derive_seed
from everfresh.model.optimizer import (
    build_optimizer,
    encode_optimizer,
    restore_optimizer,
    step,
)
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.model.weights import copy_into, decode_tensors, encode_tensors
from everfresh.trainer.learning.device import prepare_device

WEIGHTS, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
BATCH_TOKENS = 4096
LEARNING_RATE = 2e-3
WARMUP = 0.02
"""Share of all epochs in which the learning rate rises."""


RECOMMENDERS = {
    "product": Recommender,
    "published": PublishedRecommender,
    "full": CosineRecommender,
}


def learning_rate(done: float, highest: float) -> float:
    """Rises, then falls along a cosine to zero; ``done`` is the share of training behind us."""
    return highest * min(1.0, done / WARMUP) * (1 + math.cos(math.pi * done)) / 2


class Training:
    """A recommender, its optimizer and the protocol's data."""

    def __init__(
        self,
        model: str,
        seed: int,
        data: Path,
        limit: int | None,
        *,
        variant: Variant = AS_PLANNED,
        device: str = "cpu",
    ) -> None:
        prepare_device(device)
        torch.manual_seed(seed)
        plan = MODELS[model]
        order = None if variant.loss == "product" else quicksorted
        settings = variant.settings(plan)
        if variant.loss == "published":
            settings = settings.model_copy(update={"negatives": NEGATIVES})
        self.seed = seed
        self.rate = variant.rate or LEARNING_RATE
        self.recommender = RECOMMENDERS[variant.loss](settings, Vocabulary(), seed)
        self.recommender.network = plan.network(settings)
        self.recommender.network.initialise(torch.Generator().manual_seed(derive_seed(seed)))
        self.data = LeaveOneOut(read_users(data, limit, order), settings)
        self.data.encode(self.recommender)
        self.recommender.to(device)
        self.optimizer = build_optimizer(self.recommender, self.rate)

    def restore(self, files: dict[str, bytes]) -> None:
        """Go on where an epoch ended."""
        kept = decode_tensors(files[WEIGHTS], WEIGHTS)
        copy_into(self.recommender.network.state_dict(), kept, WEIGHTS)
        restore_optimizer(self.optimizer, self.recommender, files[OPTIMIZER])

    def save(self) -> dict[str, bytes]:
        """What :meth:`restore` needs."""
        return {
            WEIGHTS: encode_tensors(self.recommender.network.state_dict()),
            OPTIMIZER: encode_optimizer(self.optimizer, self.recommender),
        }

    def epoch(self, number: int, epochs: int, tested: bool) -> Epoch:
        """Train one epoch, and test after it; everything random follows seed and number."""
        torch.manual_seed(derive_seed(self.seed, number))
        batches = self.data.batches(BATCH_TOKENS, derive_seed(self.seed, number, 1))
        began, cpu = time.monotonic(), time.process_time()
        losses = []
        for at, batch in enumerate(batches):
            done = (number - 1 + (at + 1) / len(batches)) / epochs
            self.optimizer.rate = learning_rate(done, self.rate)
            losses.append(step(self.recommender, self.optimizer, batch))
        ended, cpu = time.monotonic(), time.process_time() - cpu
        return Epoch(
            number=number,
            loss=sum(losses) / len(losses),
            tokens=sum(batch.tokens for batch in batches),
            train_s=ended - began,
            train_cpu_s=cpu,
            scores=self.data.test(self.recommender) if tested else {},
        )


def measure(training: Training, run: Run, epochs: int, every: int) -> None:
    """All epochs that ``run`` lacks."""
    if run.epochs:
        training.restore(run.files())
    for number in range(len(run.epochs) + 1, epochs + 1):
        tested = number % every == 0 or number == epochs
        done = training.epoch(number, epochs, tested)
        run.add(done, training.save())
        scores = "  ".join(f"{name} {value:.4f}" for name, value in done.scores.items())
        print(
            f"{run.name} epoch {number}/{epochs}  loss {done.loss:.4f}  "
            f"{done.tokens / done.train_s:,.0f} tokens/s  {scores}",
            file=sys.stderr,
            flush=True,
        )

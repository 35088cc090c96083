"""Leave-one-out on MovieLens 1M: this HSTU beside the published figures, SASRec as control.

    python -m benchmarks.offline --data ratings.dat --model hstu --resume-dir runs

The network, its loss, its optimizer and its ranking are the product's own; the protocol is that of
``benchmarks/_leave_one_out.py``. Sizes, temperature, dropout and length are the published ones. Not
as published: ratings are inputs, batches of 4,096 tokens instead of 128 users, a learning rate that
falls along a cosine, which needs fewer epochs, and what ``--published`` puts in its place: order of
ties, score and loss (``benchmarks/_published.py``).

Each epoch is written to ``--resume-dir`` before the next begins. A run that was killed goes on
there and ends with the weights it would have had (same machine, same number of threads).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks._harness import finish
from benchmarks._leave_one_out import LeaveOneOut, read_users
from benchmarks._offline_runs import MODELS, Epoch, Run, draw, show_runs
from benchmarks._published import NEGATIVES, PublishedRecommender, quicksorted
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


def learning_rate(done: float) -> float:
    """Rises, then falls along a cosine to zero; ``done`` is the share of training behind us."""
    return LEARNING_RATE * min(1.0, done / WARMUP) * (1 + math.cos(math.pi * done)) / 2


class Training:
    """A recommender, its optimizer and the protocol's data."""

    def __init__(
        self,
        model: str,
        seed: int,
        data: Path,
        limit: int | None,
        *,
        published: bool = False,
        device: str = "cpu",
    ) -> None:
        prepare_device(device)
        torch.manual_seed(seed)
        plan = MODELS[model]
        made = PublishedRecommender if published else Recommender
        order = quicksorted if published else None
        settings = plan.settings.model_copy(update={"negatives": NEGATIVES} if published else {})
        self.seed = seed
        self.recommender = made(settings, Vocabulary(), seed)
        self.recommender.network = plan.network(settings)
        self.recommender.network.initialise(torch.Generator().manual_seed(derive_seed(seed)))
        self.data = LeaveOneOut(read_users(data, limit, order), settings)
        self.data.encode(self.recommender)
        self.recommender.to(device)
        self.optimizer = build_optimizer(self.recommender, LEARNING_RATE)

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
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate((number - 1 + (at + 1) / len(batches)) / epochs)
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


def train(training: Training, run: Run, epochs: int, every: int) -> None:
    """All epochs that ``run`` lacks."""
    if run.epochs:
        training.restore(run.files())
    for number in range(len(run.epochs) + 1, epochs + 1):
        tested = number % every == 0 or number == epochs
        done = training.epoch(number, epochs, tested)
        run.add(done, training.save())
        found = "  ".join(f"{name} {value:.4f}" for name, value in done.scores.items())
        print(
            f"{run.name} epoch {number}/{epochs}  loss {done.loss:.4f}  "
            f"{done.tokens / done.train_s:,.0f} tokens/s  {found}",
            file=sys.stderr,
            flush=True,
        )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="ratings.dat of MovieLens 1M")
    parser.add_argument("--model", choices=list(MODELS), default="hstu")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--published",
        action="store_true",
        help="order of ties, score and loss as the published code has them",
    )
    parser.add_argument("--test-every", type=int, default=2, help="epochs between tests")
    parser.add_argument("--resume-dir", type=Path, default=Path(".offline"))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="300 users and two epochs")
    parser.add_argument("--plot", type=Path, help="draw all runs of the folder there")
    parser.add_argument("--json", type=Path, help="write the flat JSON object there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then report every run in the folder."""
    options, began = parse(argv), time.monotonic()
    epochs = 2 if options.quick else options.epochs
    limit = 300 if options.quick else None
    name = f"{options.model}-seed{options.seed}-epochs{epochs}"
    name += ("-published" if options.published else "") + ("-quick" if limit else "")
    name += "" if options.device == "cpu" else f"-{options.device}"
    run = Run.open(options.resume_dir / name, options.model)
    if len(run.epochs) < epochs:
        training = Training(
            options.model,
            options.seed,
            options.data,
            limit,
            published=options.published,
            device=options.device,
        )
        train(training, run, epochs, options.test_every)
    show_runs(options.resume_dir)
    if options.plot:
        draw(options.resume_dir, options.plot)
    finish(run.figures(), began, options.json)


if __name__ == "__main__":
    main()

"""One cell of the grid: a network of one size learns one prefix, and is measured after each pass.

The training is that of ``everfresh evaluate`` and of the trainer (``trainer.learning.training``):
the prefix is its first window, learnt by the strategy ``finetune``, which for a first window is
what ``replay`` does too. Measuring draws no random numbers and takes no part in the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from pydantic import ValidationError
from torch.nn import functional

from everfresh.contracts.errors import RunError, SettingsError
from everfresh.contracts.settings import ModelSettings, Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.scaling.grid import Grid
from everfresh.evaluation.scaling.lines import Cell, PassDone, Reading
from everfresh.model.network.batches import EncodedExample, encode_example
from everfresh.model.network.hstu import HSTU
from everfresh.model.ranking import Scorer
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.network import Network, fresh_network
from everfresh.trainer.learning.strategies.finetune import Finetune
from everfresh.trainer.learning.training import broken, train_window
from everfresh.trainer.learning.training_batch import TrainingBatch
from everfresh.trainer.learning.window_task import WindowTask

_BLOCK_SCORES = 8_000_000
_PROBED = 8_192
"""Events by which the time of a token is measured."""

Told = Callable[[PassDone], None]


def sized(settings: Settings, size: str, seed: int, passes: int) -> Settings:
    """The settings of a cell. ``SettingsError`` for what is no size, such as ``64by2``."""
    dim, cross, blocks = size.partition("x")
    if not (cross and dim.isdecimal() and blocks.isdecimal() and max(len(dim), len(blocks)) < 6):
        raise SettingsError(
            f"a size is WIDTHxBLOCKS, such as 64x2, and {size!r} was found: name four or more, "
            "with commas between them"
        )
    asked = {"dim": int(dim), "blocks": int(blocks)}
    try:
        model = ModelSettings(**(settings.model.model_dump() | asked))
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsError(f"size {size} is none that can be trained: {why}") from None
    changes = {"seed": seed, "first_epochs": passes, "expire_after_s": 0.0, "strategy": "finetune"}
    tuning = settings.trainer.model_copy(update=changes)
    return settings.model_copy(update={"model": model, "trainer": tuning})


def block_weights(settings: Settings) -> int:
    """Weights of all blocks of a network of this size, without making it."""
    model = settings.model.model_copy(update={"blocks": 1})
    with torch.device("meta"):
        block = sum(weight.numel() for weight in HSTU(model).blocks.parameters())
    return block * settings.model.blocks


class _Measured(Finetune):
    """Says when a pass is over: the next one's batches are asked for after it."""

    def __init__(self, settings: Settings, passed: Callable[[Network, int], None]) -> None:
        super().__init__(settings)
        self._passed = passed

    def training_batches(
        self, network: Network, window: TrainingWindow, number: int, epoch: int
    ) -> list[TrainingBatch]:
        self._passed(network, epoch)
        return super().training_batches(network, window, number, epoch)


def train_cell(grid: Grid, size: str, events: int, settings: Settings, told: Told) -> Cell:
    """Train and measure; ``RunError`` where training breaks."""
    window, seed = grid.prefixes[events], settings.trainer.seed
    ruler = _Ruler(grid)
    tokens = tokens_of(window, settings.model.max_length)
    readings: list[Reading] = []
    began, measured_s = time.process_time(), 0.0

    def passed(network: Network, number: int) -> None:
        nonlocal measured_s
        if number:
            now = time.process_time()
            choosing, loss = ruler.losses(network.recommender)
            reading = Reading(choosing, loss, now - began - measured_s, number * tokens)
            readings.append(reading)
            measured_s += time.process_time() - now
            told(PassDone(size, events, seed, number, tokens, reading))

    network = fresh_network(settings)
    strategy = _Measured(settings, passed)
    outcome = train_window(WindowTask(network, strategy, window, settings, 0))
    if why := broken(network, outcome):
        raise RunError(
            f"size {size} broke on {events:,} events: {why}; lower trainer.learning_rate and run "
            "the command again (all sizes then begin anew), or leave this size out"
        )
    passed(network, settings.trainer.first_epochs)
    recommender = network.recommender
    rows = sum(table[1:].numel() for table in recommender.item_tables())
    weights = sum(weight.numel() for weight in recommender.network.blocks.parameters())
    model, popularity = settings.model, ruler.popularity(recommender)
    return Cell(size, model.dim, model.blocks, events, seed, weights, rows, popularity, readings)


class _Ruler:
    """The full-softmax loss on the grid's window and catalogue, of networks of one vocabulary."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known = np.flatnonzero(grid.wanted >= 0)
        self._encoded: list[EncodedExample] = []

    def losses(self, recommender: Recommender) -> tuple[float, float]:
        """Mean loss in bits on every other user's targets, and on the others'."""
        vocabulary, grid = recommender.vocabulary, self._grid
        if not self._encoded:
            self._encoded = [encode_example(example, vocabulary) for example in grid.window]
        table = recommender.catalogue()
        known = torch.from_numpy(self._known).to(table.bias.device)
        scorer = Scorer(recommender.network, table, None)
        users = scorer.users(self._encoded, recommender.settings.max_length)[known]
        items = table.of(self._rows(recommender).to(known.device))
        wanted = torch.from_numpy(grid.wanted[self._known]).to(known.device)
        step = max(1, _BLOCK_SCORES // len(grid.catalogue))
        with torch.inference_mode():
            parts = [
                functional.cross_entropy(
                    items.scores(users[at : at + step]), wanted[at : at + step], reduction="none"
                )
                for at in range(0, len(users), step)
            ]
            losses = torch.cat(parts).double().cpu().numpy() / math.log(2)
        return self._means(losses)

    def popularity(self, recommender: Recommender) -> float:
        """The same of counts, one added to each, on the users that losses are told of."""
        counts = recommender.vocabulary.counts[self._rows(recommender).numpy()] + 1.0
        losses = -np.log2(counts / counts.sum())[self._grid.wanted[self._known]]
        return self._means(losses)[1]

    def _rows(self, recommender: Recommender) -> torch.Tensor:
        rows = recommender.vocabulary.rows_of(self._grid.catalogue)
        return torch.tensor(rows)

    def _means(self, losses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
        choosing = self._grid.choosing[self._known]
        return float(losses[choosing].mean()), float(losses[~choosing].mean())


def tokens_of(window: TrainingWindow, longest: int) -> int:
    """Tokens of one pass over a window without contexts: see ``model.network.batches``."""
    half = max(1, longest // 2)
    lengths = [len(example.targets) for example in window.examples]
    return sum(
        number if number <= longest else longest * (1 + -(-(number - longest) // half))
        for number in lengths
    )


def seconds_per_token(grid: Grid, settings: Settings) -> float:
    """Processor time of a token of this size: the better of two passes over a few of them."""
    longest = grid.prefixes[max(grid.prefixes)]
    some, left = [], _PROBED
    for example in longest.examples:
        if left <= 0:
            break
        some.append(example)
        left -= len(example.targets)
    tuning = settings.trainer.model_copy(update={"first_epochs": 1})
    settings = settings.model_copy(update={"trainer": tuning})
    window, took = TrainingWindow(0, {}, some, {}), []
    for _ in range(2):  # the first one warms up
        began = time.process_time()
        network, strategy = fresh_network(settings), Finetune(settings)
        task = WindowTask(network, strategy, window, settings, 0, list(longest.examples))
        outcome = train_window(task)
        took.append((time.process_time() - began) / max(1, outcome.tokens))
    return min(took)

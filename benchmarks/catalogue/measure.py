"""One catalogue's windows, trained in a process of their own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness.report import median
from benchmarks.synthetic.windows import skewed_window, untrained_learner
from everfresh.adapters.weights.deltas import INDEX_BYTES
from everfresh.contracts.safetensors import TableBytes
from everfresh.contracts.settings import Settings, load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.cold_items import WithCold
from everfresh.model.inference.indexing import renew_index
from everfresh.model.opponents.fading import HALF_LIVES
from everfresh.model.opponents.opponent_file import opponent_tables
from everfresh.model.optimizer import optimizer_tables
from everfresh.model.version_files import version_tables
from everfresh.trainer.gate.candidate import judge_candidate, measure_parent
from everfresh.trainer.gate.probation import Probation, observed
from everfresh.trainer.gate.window_checks import Profile
from everfresh.trainer.learning.learner import Learner, remember
from everfresh.trainer.learning.training import train_window
from everfresh.trainer.scoring.prequential import FROZEN, LIVE, Served
from everfresh.trainer.scoring.window_scores import score_planned
from everfresh.trainer.windows.backlog import PlannedWindow
from everfresh.trainer.windows.holdout import HeldOut, hold_out

SIZES = 1_000, 10_000, 100_000, 1_000_000


class Cost(NamedTuple):
    """Of a window: processor seconds of all that is here, of ranking and of training; of a step in
    ms, rows touched; processor seconds of its version's index, MB of the rows that it brings; and
    the peak of memory."""

    all_s: float
    rank_s: float
    train_s: float
    step_ms: float
    touched: float
    index_s: float
    version_mb: float
    rss_mb: float


def measure(items: int, repeats: int) -> Cost:
    """The medians over ``repeats`` windows of a catalogue of so many items."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_train, items, repeats).result()


def _train(items: int, repeats: int) -> Cost:
    torch.set_num_threads(1)
    settings = load_settings({"trainer": {"max_items": max(items, 1_000_000) * 2}})
    learner = untrained_learner(items, settings)
    draws = np.random.Generator(np.random.PCG64(3))
    costs = []
    held: list[HeldOut] = []
    for number in range(1, repeats + 2):
        window = skewed_window(number, items, draws)
        began = time.process_time()
        held = _rank(learner, window, settings, held)
        rank_s, began = time.process_time() - began, time.process_time()
        outcome = train_window(learner.task(window, settings, number))
        took = time.process_time() - began
        remember(learner, window, number)
        learner.network.touch(outcome.touched)
        index_s = _index_s(learner, window, settings, number)
        mb = _version_mb(learner)
        learner.begin_version()
        touched = float(len(outcome.touched))
        whole = rank_s + took + index_s
        costs.append((whole, rank_s, took, 1000 * took / outcome.steps, touched, index_s, mb))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(*(median(values) for values in zip(*costs[1:], strict=True)), peak)


def _rank(
    learner: Learner, window: TrainingWindow, settings: Settings, held: list[HeldOut]
) -> list[HeldOut]:
    """All that ranks for one window, as the trainer does it: what serves, its frozen ancestor and
    the opponents; three parents on probation; parent and candidate on what is held out.

    The learner's own network stands for all of the models, each of which costs the same.
    """
    model = learner.network.recommender
    half_life = HALF_LIVES[learner.opponents.popularity.choice.best]
    live = Served(WithCold(model, {}), settings.serving.tail, half_life)
    contenders = {LIVE: live, FROZEN: model, **learner.opponents.contenders()}
    planned = PlannedWindow(window, [window.label])
    scored = score_planned(
        planned, contenders, model.vocabulary, window.label - 1, settings.trainer
    )
    assert scored.own is not None
    versions = range(1, settings.gate.trial_windows + 1)
    parents = {version: WithCold(model, {}) for version in versions}
    observed(
        [Probation(version) for version in versions], parents, scored.judged, scored.own, False
    )
    split = hold_out(window, held, settings.gate, settings.trainer.seed)
    judge_candidate(model, measure_parent(model, split), settings.gate, Profile())
    return split.held


def _index_s(learner: Learner, window: TrainingWindow, settings: Settings, number: int) -> float:
    """Nothing below ``weights.index_from`` items."""
    network, kept = learner.network, settings.weights
    began = time.process_time()
    renew_index(
        network.recommender,
        network.touched_rows(),
        window.examples,
        kept.index_from,
        kept.index_recall,
        number,
    )
    return time.process_time() - began


def _version_mb(learner: Learner) -> float:
    """Of all tables, the rows that were touched since the last version, with their numbers."""
    network = learner.network
    touched, recommender = network.touched_rows(), network.recommender
    files = [
        *version_tables(recommender, "float32", touched).values(),
        optimizer_tables(network.optimizer, recommender, touched),
        opponent_tables(learner.opponents),
    ]
    return sum(_row_bytes(table) for file in files for table in file.tensors.values()) / 1e6


def _row_bytes(table: TableBytes) -> int:
    whole = len(table.data)
    if table.touched is None or not whole:
        return whole
    number = len(table.touched) // 8
    return min(whole, number * (whole // table.shape[0] + INDEX_BYTES))

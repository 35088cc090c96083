from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
import torch

from everfresh.contracts.settings import Settings
from everfresh.trainer.learning.exemplars import Exemplars, draw_shares, herd, read_examples
from everfresh.trainer.learning.reservoir import ReservoirState
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


def unit_vectors(number: int, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).normal(size=(number, 4)) + 1.0
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_each_choice_of_herding_is_the_best_that_brute_force_finds(seed: int) -> None:
    vectors = unit_vectors(9, seed)
    mean = vectors.mean(axis=0)
    chosen: list[int] = []
    for _ in range(5):
        distances = {
            at: float(np.linalg.norm(mean - vectors[[*chosen, at]].mean(axis=0)))
            for at in range(9)
            if at not in chosen
        }
        chosen.append(min(distances, key=distances.__getitem__))
    assert herd(vectors, 5).tolist() == chosen


def test_herding_beats_the_average_choice_of_as_many() -> None:
    vectors = unit_vectors(10, 7)
    mean = vectors.mean(axis=0)

    def distance(places: object) -> float:
        return float(np.linalg.norm(mean - vectors[list(places)].mean(axis=0)))

    everyone = [distance(places) for places in itertools.combinations(range(10), 3)]
    assert distance(herd(vectors, 3)) < np.mean(everyone)


def test_shares_follow_the_labels_and_never_exceed_them() -> None:
    labels = np.array([0] * 50 + [1] * 90 + [2] * 9 + [3])
    shares = draw_shares(labels, 40, 1)
    assert 0 not in shares, "an item without a row cannot be learnt"
    assert shares[1] > 5 * shares.get(2, 0)
    assert draw_shares(labels, 10_000, 1) == {1: 90, 2: 9, 3: 1}
    assert draw_shares(np.array([0, 0]), 5, 1) == {}


@pytest.mark.parametrize("by", ["herding", "loss"])
def test_the_same_state_and_seed_choose_the_same_after_a_restart(
    small_settings: Settings, by: str
) -> None:
    settings = with_strategy(small_settings, "replay", replay_choice=by)
    undisturbed = Bench(make_log(2, [1, 2, 3]), settings)
    loop = undisturbed.run()
    disturbed = Bench(make_log(2, [1, 2, 3]), settings)
    for _ in range(3):
        disturbed.start().step(0)
    assert disturbed.versions() == undisturbed.versions()
    held = loop.learner.strategy.memory.state
    assert 0 < len(held.examples) <= settings.trainer.replay_examples
    again = Exemplars(6, 16, by)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=ReservoirState))
    assert again.state == held


def test_by_loss_the_easiest_examples_of_a_label_are_kept(small_settings: Settings) -> None:
    loop = Bench(make_log(2, [1, 2]), small_settings).run()
    window = windows_of(make_log(2, [1, 2], seed=9, users=40))[0]
    recommender = loop.learner.network.recommender
    memory = Exemplars(10, 16, "loss")
    memory.choose(window.examples, recommender, 3)
    _, losses, labels = read_examples(recommender, window.examples, losses=True)
    _, kept, kept_labels = read_examples(recommender, memory.state.examples, losses=True)
    for label in set(kept_labels.tolist()):
        mine = torch.sort(kept[torch.from_numpy(kept_labels == label)]).values
        everyone = torch.sort(losses[torch.from_numpy(labels == label)]).values
        torch.testing.assert_close(mine, everyone[: len(mine)])

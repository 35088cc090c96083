from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from benchmarks import offline
from benchmarks._leave_one_out import LeaveOneOut, read_users
from benchmarks._offline_runs import MODELS, Run
from contracts.settings import ModelSettings
from model.recommender import Recommender
from model.vocabulary import Vocabulary


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    rng, path = random.Random(1), tmp_path / "ratings.dat"
    rows = [
        f"{user}::{item}::{rng.randint(1, 5)}::{1000 + 60 * place}"
        for user in range(1, 9)
        for place, item in enumerate(rng.sample(range(1, 60), rng.randint(5, 40)))
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def run(ratings: Path, folder: Path, model: str, epochs: int, stop_after: int) -> dict[str, bytes]:
    """The files after training in a fresh process' state, up to ``stop_after`` epochs."""
    found = Run.open(folder, model)
    training = offline.Training(model, 5, ratings, None)
    if found.epochs:
        training.restore(found.files())
    for number in range(len(found.epochs) + 1, stop_after + 1):
        found.add(training.epoch(number, epochs, number == epochs), training.save())
    files = found.files()
    del files["run.json"]
    return files


@pytest.mark.parametrize("model", ["hstu", "sasrec"])
def test_a_run_that_was_killed_ends_with_the_weights_it_would_have_had(
    ratings: Path, tmp_path: Path, model: str
) -> None:
    whole = run(ratings, tmp_path / "whole", model, 3, 3)
    run(ratings, tmp_path / "cut", model, 3, 1)
    (tmp_path / "cut" / "epoch-0002.draft").mkdir()
    torch.manual_seed(99)
    assert run(ratings, tmp_path / "cut", model, 3, 3) == whole


def test_the_last_event_of_a_user_is_tested_and_never_trained(ratings: Path) -> None:
    settings = ModelSettings(dim=8, heads=1, max_length=16)
    users = read_users(ratings, None)
    recommender = Recommender(settings, Vocabulary(), 1)
    data = LeaveOneOut(users, settings)
    data.encode(recommender)
    item = recommender.vocabulary.row
    trained = [
        batch.targets[begin:end].tolist()
        for batch in data.batches(64, 3)
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    ]
    expected = [[item(event.item) for event in events[:-1]][-16:] for events in users]
    assert sorted(trained) == sorted(expected)
    scores = data.test(recommender)
    assert 0.0 <= scores["ndcg10"] <= scores["hr10"] <= scores["hr50"] <= 1.0


def test_the_control_differs_from_the_model_by_blocks_and_positions_alone() -> None:
    names = {
        model: {name for name, _ in plan.network(plan.settings).named_parameters()}
        for model, plan in MODELS.items()
    }
    shared = {name for name in names["hstu"] if not name.startswith("blocks")}
    assert {name for name in names["sasrec"] if not name.startswith("blocks")} == {
        *shared,
        "positions",
    }

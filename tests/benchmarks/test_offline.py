"""The parts of ``offline``: resuming, the protocol, and what differs from the published code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from benchmarks.offline.leave_one_out import LeaveOneOut, read_users
from benchmarks.offline.measure import Training
from benchmarks.offline.published import (
    GROUP,
    CosineRecommender,
    PublishedRecommender,
    quicksorted,
)
from benchmarks.offline.runs import MODELS, Run, Variant
from everfresh.contracts.settings import ModelSettings
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary


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
    kept = Run.open(folder, model)
    training = Training(model, 5, ratings, None)
    if kept.epochs:
        training.restore(kept.files())
    for number in range(len(kept.epochs) + 1, stop_after + 1):
        kept.add(training.epoch(number, epochs, number == epochs), training.save())
    files = kept.files()
    del files["run.json"]
    return files


@pytest.mark.parametrize("model", ["hstu", "sasrec"])
def test_a_run_that_was_killed_ends_with_the_weights_it_would_have_had(
    ratings: Path, tmp_path: Path, model: str
) -> None:
    at_once = run(ratings, tmp_path / "whole", model, 3, 3)
    run(ratings, tmp_path / "cut", model, 3, 1)
    (tmp_path / "cut" / "epoch-0002.draft").mkdir()
    torch.manual_seed(99)
    assert run(ratings, tmp_path / "cut", model, 3, 3) == at_once


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


@pytest.mark.process
def test_ties_are_in_the_order_that_the_published_sort_leaves(tmp_path: Path) -> None:
    rng, path = random.Random(4), tmp_path / "ratings.dat"
    rows = [(rng.randint(1, 3), item, 1000 + rng.randint(0, 20)) for item in range(400)]
    path.write_text("".join(f"{user}::{item}::3::{second}\n" for user, item, second in rows))
    seconds = [second for _, _, second in rows]
    order = quicksorted(seconds)
    assert sorted(order) == list(range(400))
    assert [seconds[at] for at in order] == sorted(seconds)
    assert order != sorted(range(400), key=seconds.__getitem__)
    asked = [[rows[at][1] for at in order if rows[at][0] == user] for user in (1, 2, 3)]
    users = read_users(path, None, quicksorted)
    assert [[event.item for event in events] for events in users] == asked
    assert users != read_users(path, None)


def test_the_published_loss_is_that_of_each_target_against_what_was_drawn(ratings: Path) -> None:
    settings = ModelSettings(dim=8, heads=1, max_length=16, dropout=0.0, negatives=5)
    recommender = PublishedRecommender(settings, Vocabulary(), 1)
    data = LeaveOneOut(read_users(ratings, None), settings)
    data.encode(recommender)
    (batch,) = data.batches(10_000, 3)
    torch.manual_seed(2)
    loss = recommender.loss(batch)
    torch.manual_seed(2)
    at = [place for place, counts in enumerate(batch.predicts.tolist()) if counts]
    users = recommender.network(batch)[at]
    rows = recommender.vocabulary.item_rows().tolist()
    drawn = torch.randint(len(rows), (-(-len(at) // GROUP), 5)).tolist()
    losses, clashes = [], 0
    for number, place in enumerate(at):
        target = int(batch.targets[place])
        others = [rows[row] for row in drawn[number // GROUP]]
        clashes += target in others
        choice = [target, *(row for row in others if row != target)]
        items = recommender.network.items[choice]
        cosines = torch.cosine_similarity(users[number], items)
        losses.append(torch.nn.functional.cross_entropy(cosines / 0.07, torch.tensor(0)))
    assert clashes
    assert torch.allclose(loss, torch.stack(losses).mean(), rtol=1e-4)
    users = users.detach()
    scores = recommender.catalogue().scores(users[:1])[0, rows]
    expected = torch.cosine_similarity(users[:1], recommender.network.items[rows]) / 0.07
    assert torch.allclose(scores, expected, atol=1e-4)


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


@pytest.mark.process
def test_the_full_loss_is_that_of_each_target_against_every_item(ratings: Path) -> None:
    training = Training("hstu", 5, ratings, None, variant=Variant("full", epsilon=1e-8))
    recommender = training.recommender
    assert isinstance(recommender, CosineRecommender)
    assert recommender.settings.epsilon == 1e-8
    recommender.settings = recommender.settings.model_copy(update={"dropout": 0.0})
    batch = training.data.batches(500, 3)[0]
    rows = torch.from_numpy(recommender.vocabulary.item_rows())
    items = torch.nn.functional.normalize(recommender.network.items[rows], dim=-1)
    logits = recommender.network(batch) @ items.T / recommender.settings.temperature
    wanted = torch.searchsorted(rows, batch.targets)
    expected = torch.nn.functional.cross_entropy(logits[batch.predicts], wanted[batch.predicts])
    assert float(recommender.loss(batch).detach()) == pytest.approx(float(expected.detach()), 1e-5)


def test_a_variant_names_its_run_by_what_differs() -> None:
    assert not Variant().name
    assert Variant("published").name == "-published"
    assert Variant("full", blocks=8, heads=2, epsilon=1e-8, rate=1e-3).name == (
        "-blocks8-heads2-epsilon1e-08-rate0.001-full"
    )
    settings = Variant(blocks=8).settings(MODELS["hstu"])
    assert (settings.blocks, settings.dim, settings.heads) == (8, 50, 1)

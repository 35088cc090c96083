from __future__ import annotations

import math

import torch

from everfresh.contracts.settings import Settings
from everfresh.trainer.learning.learner import Learner, fresh_learner
from everfresh.trainer.learning.strategies.distill import Distill, distillation
from everfresh.trainer.learning.training import train_window
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


def learners(settings: Settings) -> tuple[Learner, Learner]:
    """Two that have learnt from different logs of the same items."""
    first = Bench(make_log(2, [1, 2]), settings).run().learner
    second = Bench(make_log(2, [1, 2, 3]), settings).run().learner
    return first, second


def test_the_loss_is_the_cross_entropy_of_two_softmaxes_written_out(
    small_settings: Settings,
) -> None:
    model = small_settings.model.model_copy(update={"negatives": 50, "dropout": 0.0})
    settings = with_strategy(small_settings, "distill").model_copy(update={"model": model})
    mine, theirs = learners(settings)
    examples = theirs.strategy.memory.state.examples
    batch = theirs.strategy.one_batch(theirs.network, examples)
    student, parent = mine.network.recommender, theirs.network.recommender
    shared = torch.from_numpy(parent.vocabulary.shared_rows(student.vocabulary))
    assert len(shared) > 3

    loss = distillation(student, parent, batch, shared)

    total, number = 0.0, 0
    with torch.inference_mode():
        student_scores = student.catalogue().scores(student.network(batch)).tolist()
        parent_scores = parent.catalogue().scores(parent.network(batch)).tolist()
    rows = set(shared.tolist())
    for token in range(batch.tokens):
        if not batch.predicts[token] or int(batch.targets[token]) not in rows:
            continue
        p = {row: math.exp(parent_scores[token][row]) for row in rows}
        q = {row: math.exp(student_scores[token][row]) for row in rows}
        total -= sum(p[row] / sum(p.values()) * math.log(q[row] / sum(q.values())) for row in rows)
        number += 1
    assert number
    assert math.isclose(float(loss.detach()), total / number, rel_tol=1e-4)


def test_the_weight_is_aders(small_settings: Settings) -> None:
    settings = with_strategy(small_settings, "distill", distill_weight=0.5)
    bench = Bench(make_log(2, [1, 2, 3, 4]), settings)
    loop = bench.start()
    assert loop.step(0)
    learner, strategy = loop.learner, loop.learner.strategy
    assert isinstance(strategy, Distill)
    window = windows_of(make_log(2, [1], seed=3, items=40))[0]
    known = set(range(40)) & {
        item for item in range(40) if item in learner.network.recommender.vocabulary
    }
    items = {target.item for example in window.examples for target in example.targets}
    held = sum(len(example.targets) for example in strategy.memory.state.examples)
    strategy.begin(learner.network, window, 1)
    expected = 0.5 * math.sqrt(len(known) / len(known | items) * held / window.events)
    assert math.isclose(strategy._weight, expected)


def test_a_sampled_loss_is_near_the_full_one(small_settings: Settings) -> None:
    settings = with_strategy(small_settings, "distill")
    mine, theirs = learners(settings)
    batch = theirs.strategy.one_batch(theirs.network, theirs.strategy.memory.state.examples)
    student, parent = mine.network.recommender, theirs.network.recommender
    shared = torch.from_numpy(parent.vocabulary.shared_rows(student.vocabulary))
    wide = small_settings.model.model_copy(update={"negatives": 50, "dropout": 0.0})
    narrow = wide.model_copy(update={"negatives": 6})
    values = {}
    for sizes in (wide, narrow):
        student.settings = sizes
        torch.manual_seed(1)
        values[sizes.negatives] = [
            distillation(student, parent, batch, shared).item() for _ in range(200)
        ]
    mean = sum(values[6]) / 200
    assert len(set(values[50])) == 1
    assert abs(mean - values[50][0]) < 0.35 * values[50][0]


def test_the_first_window_has_no_parent_to_listen_to(small_settings: Settings) -> None:
    settings = with_strategy(small_settings, "distill")
    plain = with_strategy(small_settings, "finetune")
    window = windows_of(make_log(2, [1]))[0]
    saved = []
    for chosen in (settings, plain):
        learner = fresh_learner(chosen)
        train_window(learner.task(window, chosen, 0))
        saved.append(learner.network.recommender.save())
    assert saved[0] == saved[1]

"""What ``trainer.parent_share`` leaves of a window, against the formula by hand."""

from __future__ import annotations

import pytest
import torch

from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.model.recommender import Recommender
from everfresh.trainer.learning.learner import fresh_learner, remember
from everfresh.trainer.learning.training import train_window
from tests.trainer.logs import make_log, windows_of
from tests.trainer.small_settings import with_strategy


def windows(number: int) -> list[TrainingWindow]:
    """Each brings twelve items of its own."""
    labels = list(range(number))
    return windows_of(
        make_log(2, labels, distort=lambda label, walk: [12 * label + i for i in walk])
    )


def learnt(settings: Settings, number: int) -> Recommender:
    """What ``number`` windows come to."""
    learner = fresh_learner(settings)
    for at, window in enumerate(windows(number)):
        train_window(learner.task(window, settings, at))
        remember(learner, window, at)
    return learner.network.recommender


def test_a_window_leaves_the_mean_of_before_and_after_and_new_rows_as_they_were_trained(
    small_settings: Settings,
) -> None:
    plain = with_strategy(small_settings, "replay")
    before = dict(learnt(plain, 1).network.named_parameters())
    trained = dict(learnt(plain, 2).network.named_parameters())
    averaged = with_strategy(small_settings, "replay", parent_share=0.25)
    mixed = dict(learnt(averaged, 2).network.named_parameters())
    rows = len(before["items"])
    assert len(trained["items"]) > rows
    for name, weight in trained.items():
        expected = weight.detach().clone()
        old = slice(rows) if name in ("items", "item_bias") else ...
        expected[old] = 0.75 * weight[old] + 0.25 * before[name]
        torch.testing.assert_close(mixed[name].detach(), expected, msg=name)


@pytest.mark.parametrize(("name", "number"), [("replay", 1), ("retrain", 2)])
def test_what_begins_from_nothing_is_no_mean(
    small_settings: Settings, name: str, number: int
) -> None:
    plain = learnt(with_strategy(small_settings, name), number)
    averaged = learnt(with_strategy(small_settings, name, parent_share=0.5), number)
    assert plain.save() == averaged.save()


def test_a_row_that_expires_in_a_window_is_left_as_an_untrained_one(
    small_settings: Settings,
) -> None:
    rows = []
    for share in (0.0, 0.5):
        settings = with_strategy(
            small_settings, "replay", parent_share=share, expire_after_s=0.5, replay_ratio=0.0
        )
        recommender = learnt(settings, 5)
        free = recommender.vocabulary.free_rows()
        assert len(free)
        rows.append(recommender.network.items.detach()[free])
    assert torch.equal(*rows)

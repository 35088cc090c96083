"""Off-policy estimates: values by hand, no bias, and intervals that hold as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everfresh.experiments.off_policy import dr, ips, snips


def test_values_by_hand() -> None:
    """Weights 2, 0, 1/2 of rewards 1, 1, 0."""
    rewards, logged, target = [1, 1, 0], [0.25, 0.5, 0.5], [0.5, 0.0, 0.25]
    found = ips(rewards, logged, target)
    assert found.value == pytest.approx(2 / 3)
    assert found.error == pytest.approx(math.sqrt(4 / 3 / 3))
    assert found.effective == pytest.approx(2.5**2 / 4.25)
    assert snips(rewards, logged, target).value == pytest.approx(2 / 2.5)
    model = dr(rewards, logged, target, [0.5, 0.5, 0.5], [0.4, 0.4, 0.4])
    assert model.value == pytest.approx((0.4 + 2 * 0.5 + 0.4 + 0.4 - 0.25) / 3)


def test_a_policy_judged_by_its_own_log_is_its_mean() -> None:
    rewards, logged = [1.0, 0.0, 3.0], [0.2, 0.3, 0.5]
    assert ips(rewards, logged, logged).value == pytest.approx(4 / 3)
    assert snips(rewards, logged, logged).effective == pytest.approx(3)


@pytest.mark.parametrize(
    ("rewards", "logged", "target", "message"),
    [
        ([1, 1], [1.0, 0.0], [0.5, 0.5], "answers of an arm that does not explore have none"),
        ([1, 1], [1.0, float("nan")], [0.5, 0.5], "above 0 and at most 1"),
        ([1, 1], [0.5, 0.5], [0.5, 1.5], "from 0 to 1"),
        ([1, 1], [0.5], [0.5, 0.5], "2 rewards, 1 logged and 2 target"),
        ([], [], [], "at least 2 samples"),
    ],
)
def test_without_propensities_nothing_is_estimated(
    rewards: list[float], logged: list[float], target: list[float], message: str
) -> None:
    for estimate in (ips, snips):
        with pytest.raises(ValueError, match=message):
            estimate(rewards, logged, target)
    with pytest.raises(ValueError, match=message):
        dr(rewards, logged, target, rewards, rewards)


def test_a_policy_of_which_nothing_was_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="shows nothing that the log holds"):
        snips([1, 0], [0.5, 0.5], [0.0, 0.0])


def test_estimates_are_unbiased_and_their_intervals_cover_the_truth() -> None:
    """1,000 logs of 400 samples of a policy over five items; the seed is fixed."""
    draw = np.random.default_rng(7)
    logged = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    target = np.array([0.05, 0.15, 0.3, 0.25, 0.25])
    click = np.array([0.1, 0.3, 0.25, 0.5, 0.35])
    model = np.array([0.2, 0.2, 0.2, 0.4, 0.4])  # wrong, as models are
    truth = float(target @ click)
    found: dict[str, list[tuple[float, bool]]] = {"ips": [], "snips": [], "dr": []}
    for _ in range(1_000):
        item = draw.choice(5, 400, p=logged)
        reward = (draw.random(400) < click[item]).astype(float)
        args = (reward, logged[item], target[item])
        expected = np.full(400, target @ model)
        for name, each in (
            ("ips", ips(*args)),
            ("snips", snips(*args)),
            ("dr", dr(*args, model[item], expected)),
        ):
            found[name].append((each.value, abs(each.value - truth) <= 1.96 * each.error))
    spread = {name: float(np.std([value for value, _ in each])) for name, each in found.items()}
    for name, each in found.items():
        values, covered = zip(*each, strict=True)
        if name != "snips":  # whose bias is of the order of 1/400
            assert abs(np.mean(values) - truth) < 4 * spread[name] / math.sqrt(1_000)
        assert abs(np.mean(values) - truth) < 0.01
        assert 0.93 < np.mean(covered) < 0.97
    assert spread["dr"] < spread["snips"] < spread["ips"]

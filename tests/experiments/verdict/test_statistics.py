"""The statistics agree with published reference values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everfresh.experiments.verdict.corrections import benjamini_hochberg
from everfresh.experiments.verdict.estimates import adjusted, plain
from everfresh.experiments.verdict.intervals import Sample, always_valid, welch, width
from everfresh.experiments.verdict.moments import UNIT, Moments
from everfresh.experiments.verdict.power import days_left, detectable
from everfresh.experiments.verdict.sample_ratio import Block, sample_ratio


def proportion(hits: int, users: int) -> Sample:
    mean = hits / users
    return Sample(users, mean, mean * (1 - mean))


def test_welch_and_the_always_valid_interval_have_the_reference_values() -> None:
    control, arm = proportion(500, 10_000), proportion(560, 10_000)
    once = welch(control, arm, 0.05)
    assert (once.low, once.high) == pytest.approx((-0.00020960, 0.01220960), abs=5e-9)
    assert once.p == pytest.approx(0.0582497, abs=5e-8)
    always = always_valid(control, arm, 20_000, 0.05, 5000)
    assert (always.low, always.high) == pytest.approx((-0.00390678, 0.01590678), abs=5e-9)
    assert always.p == 1.0


def test_the_always_valid_p_value_and_interval_agree_on_what_is_certain() -> None:
    for hits in range(500, 800, 10):
        found = always_valid(proportion(500, 10_000), proportion(hits, 10_000), 20_000, 0.05, 5000)
        assert (found.low > 0) == (found.p < 0.05)


def test_before_and_after_its_best_time_the_interval_is_wider() -> None:
    """Eqs. 155 and 161: rho makes the bound smallest near the time it is tuned to."""
    widths = [width(seen, 0.05, 5000) for seen in (500, 2000, 5000, 12_000, 60_000)]
    in_time = [wide / math.sqrt(seen) for wide, seen in zip(widths, (500, 2000), strict=False)]
    assert widths[0] > widths[1] > widths[2]
    assert in_time[0] > in_time[1]
    other = [width(5000, 0.05, tuned) for tuned in (500, 5000, 50_000)]
    assert other[1] == min(other)


def cuped_moments(users: int, post: tuple[float, float], pre: tuple[float, float], cross: float
                  ) -> Moments:  # fmt: skip
    """As a user's vector is laid out: answers, metric, answers before, metric before."""
    unit = UNIT * UNIT
    products = [0] * 10
    products[4], products[6], products[9] = (round(x * unit) for x in (post[1], cross, pre[1]))
    return Moments(users, [0, round(post[0] * UNIT), 0, round(pre[0] * UNIT)], products)


def test_cuped_has_the_reference_values() -> None:
    control = cuped_moments(3000, (1396.87, 52377.9767), (16.87, 527.9767), 930.0)
    arm = cuped_moments(3461, (2422.7, 134698.29), (22.7, 1348.29), 4500.0)
    before = welch(plain(control, 1, per_answer=False), plain(arm, 1, per_answer=False), 0.05)
    assert before.p == pytest.approx(0.0710854, abs=1e-6)
    found = adjusted(control, arm, 1, per_answer=False)
    assert found is not None
    assert found[2] == pytest.approx(2.8819494, abs=5e-8)
    after = welch(found[0], found[1], 0.05)
    assert after.difference == pytest.approx(0.2316807, abs=5e-8)
    assert after.p == pytest.approx(0.0630536, abs=5e-8)


@pytest.mark.parametrize(
    ("users", "p"), [([500, 600], 0.00256883), ([1000, 1200, 900], 1.56081e-10)]
)
def test_the_sample_ratio_has_the_reference_values(users: list[int], p: float) -> None:
    found = sample_ratio([Block(users, [1.0] * len(users))])
    assert found.p == pytest.approx(p, rel=5e-6)


@pytest.mark.parametrize(
    ("users", "p"),
    [
        ([500, 600], 0.671451),
        ([5000, 5500], 0.00321628),
        ([50, 450], 5.01844e-4),
        ([100, 900], 2.3679e-13),
    ],
)
def test_the_sequential_sample_ratio_has_the_reference_values(users: list[int], p: float) -> None:
    found = sample_ratio([Block(users, [0.5, 0.5])])
    assert found.p_always == pytest.approx(p, rel=5e-5)


def test_a_skewed_split_is_an_alarm_from_a_hundred_users_on() -> None:
    assert not sample_ratio([Block([5, 90], [0.5, 0.5])]).alarm
    assert sample_ratio([Block([5, 95], [0.5, 0.5])]).alarm
    assert not sample_ratio([Block([48, 52], [0.5, 0.5])]).alarm


def test_weights_that_change_while_it_runs_are_tested_each_under_its_own_definition() -> None:
    """Nine to one, then one to one: together that looks like no split of the two."""
    honest = [Block([900, 100], [0.9, 0.1]), Block([500, 500], [0.5, 0.5])]
    assert not sample_ratio(honest).alarm
    assert sample_ratio([Block([1400, 600], [0.5, 0.5])]).alarm


def test_a_user_in_an_arm_of_weight_zero_is_an_alarm() -> None:
    assert sample_ratio([Block([100, 100, 1], [0.5, 0.5, 0.0])]).alarm
    assert not sample_ratio([Block([100, 100, 0], [0.5, 0.5, 0.0])]).alarm


def test_benjamini_and_hochberg_adjust_as_their_paper_does() -> None:
    """Table 2 of the paper of 1995: the four smallest of fifteen hold at 0.05."""
    paper = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    paper += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted_values = benjamini_hochberg(paper)
    assert sum(q <= 0.05 for q in adjusted_values) == 4
    assert adjusted_values == sorted(adjusted_values)
    assert benjamini_hochberg(paper[::-1]) == adjusted_values[::-1]
    assert benjamini_hochberg([]) == []


def random_users(seed: int, users: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    answers = rng.geometric(0.1, users)  # far from equal, as visits are
    clicks = rng.binomial(answers, rng.beta(20, 20, users))
    before = rng.binomial(answers, 0.2)
    rows = np.stack([answers, clicks, answers, before], axis=1)
    return [[int(entry) * UNIT for entry in row] for row in rows]


def test_the_delta_method_agrees_with_resampling_users() -> None:
    rows = random_users(3, 2000)
    moments = Moments.of_size(4)
    for row in rows:
        moments.add(row)
    found = plain(moments, 1, per_answer=True)
    table = np.array(rows) / UNIT
    rng = np.random.default_rng(4)
    ratios = []
    for _ in range(400):
        chosen = table[rng.integers(0, len(table), len(table))]
        ratios.append(chosen[:, 1].sum() / chosen[:, 0].sum())
    assert found.mean == pytest.approx(table[:, 1].sum() / table[:, 0].sum())
    assert math.sqrt(found.of_mean) == pytest.approx(float(np.std(ratios)), rel=0.2)


def test_sums_are_exact_in_any_order_and_a_user_who_leaves_leaves_no_trace() -> None:
    rows = [[10**15 + 1, 1, -(10**15), 3], [5, 7, 11, 13], [10**18, 1, 1, 1]]
    forward, backward, left = (Moments.of_size(4) for _ in range(3))
    for row in rows:
        forward.add(row)
    for row in reversed(rows):
        backward.add(row)
    for row in [*rows[:2], rows[2], rows[0]]:
        left.add(row)
    left.add(rows[0], -1)
    assert forward == backward == left
    half = Moments.of_size(4)
    half.add(rows[0])
    rest = Moments.of_size(4)
    for row in rows[1:]:
        rest.add(row)
    assert half.plus(rest) == forward


def test_a_large_mean_cancels_nothing_of_a_small_variance() -> None:
    moments = Moments.of_size(1)
    for value in (10**9 * UNIT, 10**9 * UNIT + UNIT):
        moments.add([value])
    assert moments.covariance()[0, 0] == 0.5


def test_an_adjustment_by_the_time_before_narrows_the_interval() -> None:
    rng = np.random.default_rng(8)
    arms = [Moments.of_size(4), Moments.of_size(4)]
    for _ in range(2000):
        taste = rng.beta(1, 4)
        arms[rng.integers(2)].add(
            [int(entry) * UNIT for entry in (20, rng.binomial(20, taste))]
            + [int(entry) * UNIT for entry in (20, rng.binomial(20, taste))]
        )
    raw = plain(arms[0], 1, per_answer=True)
    found = adjusted(*arms, 1, per_answer=True)
    assert found is not None
    assert found[0].of_mean < 0.5 * raw.of_mean


def test_what_is_detectable_and_the_days_left_follow_from_what_came_so_far() -> None:
    control, arm = proportion(500, 10_000), proportion(500, 10_000)
    least = detectable(control, arm, 0.05)
    assert least == pytest.approx(2.8016 * math.sqrt(2 * 0.05 * 0.95 / 10_000), rel=1e-4)
    assert days_left(control, arm, 20_000, 2.0, 1.0, 0.05, 5000) == 0.0
    left = days_left(control, arm, 20_000, 2.0, 0.005, 0.05, 5000)
    assert left is not None
    growth = (2.0 + left) / 2.0
    reached = math.sqrt(2 * 0.05 * 0.95 / 10_000 / growth) * width(20_000 * growth, 0.05, 5000)
    assert reached == pytest.approx(0.005)
    assert days_left(control, arm, 20_000, 2.0, 1e-9, 0.05, 5000) is None
    assert days_left(control, arm, 20_000, 0.0, 0.005, 0.05, 5000) is None

from __future__ import annotations

import numpy as np
import pytest

from everfresh.adapters.files.drifting.draws import Draws
from everfresh.adapters.files.drifting.items import Floats, LiveItems, pick
from everfresh.adapters.files.drifting.law import Law, rank
from everfresh.adapters.files.drifting.settings import DriftSettings
from everfresh.adapters.files.drifting.visitors import User

SETTINGS = DriftSettings(topics=4, items_per_hour=5.0, headlines=0.5, taste=8.0)


def by_topic(law: Law, user: User) -> Floats:
    """The oracle's probabilities for each topic that the user's favourite could be."""
    true, laws = user.favourite, []
    for topic in range(SETTINGS.topics):
        user.favourite = topic
        laws.append(law.of(user))
    user.favourite = true
    return np.asarray(laws)


def test_the_observer_believes_what_bayes_rule_says_of_every_topic() -> None:
    draws = Draws(3)
    items = LiveItems(SETTINGS, draws)
    law = Law(SETTINGS, items)
    law.weigh()
    user = User(1, 2)
    expected = items.topic_shares
    for session in range(3):
        if session:
            drift = SETTINGS.taste_drift
            expected = (1 - drift) * expected + drift * items.topic_shares
        user.depth, user.front = 0, SETTINGS.headlines
        for _ in range(6):
            laws = by_topic(law, user)
            assert law.observed(user) == pytest.approx(expected @ laws)
            row = pick(np.cumsum(law.of(user)), draws.share())
            expected = expected * laws[:, row]
            expected /= expected.sum()
            law.learn(user, row)
            assert user.belief == pytest.approx(expected)
            user.recent.append(int(items.items[row]))
            user.depth += 1
            user.front *= SETTINGS.headlines
            items.tick()
            law.weigh()


def test_of_equals_the_lower_row_comes_first() -> None:
    law = np.asarray([0.0, 0.25, 0.5, 0.25])
    assert [rank(law, row) for row in (2, 1, 3)] == [1, 2, 3]

"""What moved a score, against asking again for a user who never had the event."""

from __future__ import annotations

import numpy as np
import pytest

from everfresh.contracts.event import ItemId
from everfresh.contracts.items.record import Item
from everfresh.model.cold_items import ColdItems
from everfresh.model.content.features import features_of
from everfresh.model.content_learning import learn_contents
from everfresh.model.inference.leave_one_out import TRIED, History, leave_one_out
from everfresh.model.network.batches import encode_events
from everfresh.model.recommender import Recommender
from everfresh.model.trend_learning import learn_trends
from everfresh.model.trends.table import WEIGHTS
from tests.model.streams import SMALL, interactions, stream, trained

NOTHING = ColdItems({}, np.zeros((0, 8), np.float32), 0.0)


@pytest.fixture(scope="module")
def model() -> Recommender:
    """With trends that count, and a map."""
    made = trained(stream(2))
    learn_trends(made, stream(2))
    weights = made.trends.weights.copy()
    weights[:] = np.linspace(0.2, 0.9, WEIGHTS) + np.arange(len(weights))[:, None] / 10
    made.weigh_trends(weights)
    learn_contents(made, lambda item: kind(int(item)), 5, -1.0)
    assert made.content
    return made


def kind(item: int):  # type: ignore[no-untyped-def]
    return features_of(Item(id=item, attributes={"kind": f"k{item % 3}"}))


@pytest.mark.parametrize("length", [1, 2, 7, 11])
def test_an_event_moved_a_score_by_what_it_is_without_it(model: Recommender, length: int) -> None:
    items: list[ItemId] = [4, 9, 2, 17]
    events = interactions([(3 * at) % 29 + 1 for at in range(length)])
    history = History(encode_events(events, model.vocabulary), length, 100)
    moved = leave_one_out(model, history, items, NOTHING)
    whole = dict(zip(*model.recommend(events, 1_000), strict=True))
    assert moved.scores == pytest.approx([whole[item] for item in items], abs=1e-4)
    assert moved.places == list(range(length))
    for place, by in zip(moved.places, moved.by, strict=True):
        rest = [*events[:place], *events[place + 1 :]]
        without = dict(zip(*model.recommend(rest, 1_000), strict=True))
        assert by == pytest.approx([whole[item] - without[item] for item in items], abs=1e-4)


def test_of_a_long_history_the_newest_events_are_tried_in_the_window_that_serves(
    model: Recommender,
) -> None:
    events = interactions([at % 29 + 1 for at in range(60)])
    history = History(encode_events(events, model.vocabulary), 260, 60)
    moved = leave_one_out(model, history, [4, 9], NOTHING)
    assert moved.places == list(range(60 - TRIED, 60))
    # Events before the window count for nothing but the number of events.
    seen = SMALL.max_length - 1
    assert np.abs(moved.by[-1]).max() > 0
    assert np.abs(moved.by[: TRIED - seen]).max() == pytest.approx(0.0, abs=1e-6)


def test_cold_items_are_moved_too_and_unknown_ones_have_no_score(model: Recommender) -> None:
    known = {"new": kind(1)}
    events = interactions([1, 2, 3])
    history = History(encode_events(events, model.vocabulary), 3, 100)
    cold = ColdItems.of(model, known)
    moved = leave_one_out(model, history, ["new", "unheard of", 4], cold)
    assert np.isnan(moved.scores).tolist() == [False, True, False]
    assert np.abs(moved.by[:, 0]).max() > 0

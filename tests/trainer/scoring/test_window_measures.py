"""What a window is worth, measured before it is learnt."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest
import torch

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings, TrainerSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.cold_items import WithCold
from everfresh.model.opponents.opponents import POPULARITY, Opponents
from everfresh.model.recommender import VERSION, Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.scoring import window_measures as measuring
from everfresh.trainer.scoring.prequential import LIVE, Served
from everfresh.trainer.scoring.window_measures import (
    Surprised,
    sequence_entropy,
    window_measures,
)
from everfresh.trainer.scoring.window_scores import score_planned
from everfresh.trainer.windows.backlog import PlannedWindow

_ITEMS = 30


def example(user: int, items: list[int], context: list[int] | None = None) -> DecodedExample:
    events, before = (
        [Interaction(item, "click", 1000 * at) for at, item in enumerate(each)]
        for each in (items, context or [])
    )
    places = list(range(len(events)))
    return DecodedExample(user, before, events, places, [1000 * at for at in places])


def drawn(users: int, each: int, seed: int) -> list[DecodedExample]:
    rng = random.Random(seed)
    return [example(user, rng.choices(range(1, _ITEMS + 1), k=each)) for user in range(users)]


@pytest.fixture
def live() -> Recommender:
    settings = ModelSettings(dim=8, blocks=1, heads=1, max_length=16, dropout=0.0)
    recommender = Recommender(settings, Vocabulary(), 3)
    recommender.admit(drawn(20, 9, 1))
    recommender.network.items.data.normal_(generator=torch.Generator().manual_seed(1))
    return recommender


@pytest.fixture
def opponents() -> Opponents:
    opponents = Opponents()
    opponents.update(drawn(20, 9, 1))
    return opponents


def test_bits_are_the_models_own_full_softmax_over_all_items(
    live: Recommender, opponents: Opponents
) -> None:
    examples = [example(1, [3, 5, 9], context=[2]), example(2, [7, 999])]
    surprised = Surprised(live, opponents.popularity, {LIVE: VERSION})
    assert (surprised.ranks(examples, False) == live.ranks(examples, False)).all()
    measures = surprised.measures()
    bits = []
    for each in examples:
        for at, target in enumerate(each.targets):
            if target.item == 999:
                continue
            items, scores = live.recommend([*each.context, *each.targets[:at]], _ITEMS)
            whole = np.exp(scores).sum()
            bits.append(-math.log2(np.exp(scores[items.index(target.item)]) / whole))
    assert measures["bits_live"] == pytest.approx(np.mean(bits), rel=1e-4)
    assert measures["bits_events"] == 4
    assert measures["unknown"] == pytest.approx(0.2)


def test_what_is_refused_surprises_nobody(live: Recommender, opponents: Opponents) -> None:
    taken, refused = example(1, [3, 9], context=[2]), example(2, [7, 999, 4])
    refused = msgspec.structs.replace(refused, refused=[True, True, True])
    alone, both = (Surprised(live, opponents.popularity, {LIVE: VERSION}) for _ in range(2))
    alone.ranks([taken], False)
    both.ranks([refused, taken], False)
    assert both.measures() == pytest.approx(alone.measures(), rel=1e-5)
    assert both.measures()["bits_events"] == 2


def test_popularity_takes_as_many_bits_as_its_counts_say(opponents: Opponents) -> None:
    shares = opponents.popularity.shares(list(range(1, _ITEMS + 1)))
    assert shares.sum() == pytest.approx(1.0)
    counts = [
        sum(target.item == item for each in drawn(20, 9, 1) for target in each.targets)
        for item in range(1, _ITEMS + 1)
    ]
    expected = 0.9 * np.array(counts) / 180 + 0.1 / _ITEMS
    assert shares == pytest.approx(expected, rel=1e-5)
    assert not opponents.popularity.shares([999]).any()
    assert not Opponents().popularity.shares([1]).any()


def test_of_a_large_catalogue_every_nth_target_is_measured(
    live: Recommender, opponents: Opponents, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = drawn(40, 5, 2)
    monkeypatch.setattr(measuring, "_FEWEST", 50)
    monkeypatch.setattr(measuring, "_CELLS", 50 * _ITEMS)
    surprised = Surprised(live, opponents.popularity, {LIVE: VERSION})
    surprised.ranks(examples, False)
    assert surprised.measures()["bits_events"] == 50
    # In blocks as in one piece: which are measured does not depend on how ranking is cut.
    monkeypatch.setattr("everfresh.model.ranks.rank_blocks.CELLS", 7 * 17)
    monkeypatch.setattr("everfresh.model.ranks.rank_blocks.ROWS", 17)
    again = Surprised(live, opponents.popularity, {LIVE: VERSION})
    again.ranks(examples, False)
    assert again.measures() == pytest.approx(surprised.measures(), rel=1e-6)


def test_entropy_is_how_open_the_next_item_is_given_the_one_before() -> None:
    cycle = [example(user, [1, 2, 3, 1, 2, 3, 1]) for user in range(50)]
    assert sequence_entropy(cycle) == pytest.approx(0.0, abs=1e-9)
    coins = random.Random(3)
    tossed = [example(user, coins.choices((1, 2), k=200)) for user in range(50)]
    assert sequence_entropy(tossed) == pytest.approx(1.0, abs=0.01)
    assert sequence_entropy([example(1, [5])]) == 0.0
    # The last event before the window is what its first one follows.
    assert sequence_entropy([example(1, [2], context=[1]), example(2, [3], context=[1])]) == 1.0


def test_bots_and_repeats_stand_out_of_the_measures() -> None:
    people = drawn(200, 5, 4)
    bot = example(-1, [7] * 1000)
    usual, spoilt = window_measures(people), window_measures([*people, bot])
    assert usual["heaviest"] == pytest.approx(2 / 200)
    assert spoilt["heaviest"] > 0.5 > usual["heaviest"]
    assert spoilt["repeats"] > 5 * usual["repeats"]
    assert spoilt["compression"] > 1.5 * usual["compression"]
    rare = [example(user, [1000 + user]) for user in range(300)]
    assert window_measures(rare)["compression"] == pytest.approx(1.0, abs=0.02)
    assert window_measures([]) == {}


def test_a_window_is_measured_before_it_is_learnt_and_without_a_version_too(
    live: Recommender, opponents: Opponents
) -> None:
    window = TrainingWindow(4, {}, drawn(10, 3, 5), {})
    planned, tuning = PlannedWindow(window, [4]), TrainerSettings()
    alone = {POPULARITY: opponents.popularity}
    first = score_planned(planned, alone, live.vocabulary, None, tuning).summary.measures
    assert first == window_measures(window.examples)
    serving = Served(WithCold(live, {}), True, math.inf)
    both = score_planned(planned, {LIVE: serving, **alone}, live.vocabulary, 3, tuning)
    assert both.summary.measures.keys() - first.keys() == {
        "bits_live", "bits_popularity", "bits_events", "unknown",
    }  # fmt: skip
    assert (both.ranks[LIVE] == live.ranks(window.examples, False)).all()


def test_what_histories_are_worth_does_not_depend_on_how_fresh_opponents_are(
    live: Recommender, opponents: Opponents
) -> None:
    """Of a window that was held, opponents have learnt what the live model has not."""
    planned = PlannedWindow(TrainingWindow(5, {}, drawn(10, 3, 5), {}), [5])
    found = []
    for _ in range(2):
        contenders = {LIVE: Served(WithCold(live, {}), True, math.inf), **opponents.contenders()}
        found.append(score_planned(planned, contenders, live.vocabulary, 4, TrainerSettings()))
        opponents.update(planned.window.examples)
    before, after = found
    assert (before.ranks[POPULARITY] != after.ranks[POPULARITY]).any()
    assert before.behind == after.behind is not None

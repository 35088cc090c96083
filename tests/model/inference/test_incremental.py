"""Extending a user's history gives what the whole network gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.inference import incremental
from everfresh.model.inference.incremental import HistoryStates, window_begin
from everfresh.model.network.batches import encode_events, query_batch
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

LENGTH = 24
MODEL = ModelSettings(dim=8, blocks=3, heads=2, max_length=LENGTH, dropout=0.0, epsilon=0.1)
EVENTS = [
    Interaction(1 + 7 * at % 11, ("view", "like")[at % 2], at * at * 37_000, float(at % 3))
    for at in range(LENGTH - 1)
]


@pytest.fixture(scope="module")
def made() -> Recommender:
    recommender = Recommender(MODEL, Vocabulary(), 5)
    count = list(range(len(EVENTS)))
    recommender.admit([DecodedExample(0, [], EVENTS, count, count)])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in recommender.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    return recommender


def whole(made: Recommender, events: list[Interaction]) -> torch.Tensor:
    with torch.inference_mode():
        return made.network(query_batch(events, made.vocabulary, LENGTH))[-1]


@settings(max_examples=40, deadline=None)
@given(cuts=st.sets(st.integers(1, LENGTH - 2), max_size=8))
def test_extended_states_equal_the_full_forward(made: Recommender, cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), LENGTH - 1]
    codes = encode_events(EVENTS, made.vocabulary)
    states = HistoryStates(LENGTH)
    for begin, end in pairwise(edges):
        vector = states.extend(made.network, codes[:, begin:end])
        torch.testing.assert_close(vector, whole(made, EVENTS[:end]), atol=2e-5, rtol=1e-4)


def test_a_long_history_goes_through_in_pieces(
    made: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incremental, "_PIECE", 5)
    codes = encode_events(EVENTS, made.vocabulary)
    vector = HistoryStates(LENGTH).extend(made.network, codes)
    torch.testing.assert_close(vector, whole(made, EVENTS), atol=2e-5, rtol=1e-4)


def test_what_was_peeked_at_is_forgotten(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = HistoryStates(LENGTH)
    states.extend(made.network, codes[:, :6])
    other = states.peek(made.network, codes[:, 12:15])
    wanted = whole(made, [*EVENTS[:6], *EVENTS[12:15]])
    torch.testing.assert_close(other, wanted, atol=2e-5, rtol=1e-4)
    vector = states.extend(made.network, codes[:, 6:8])
    torch.testing.assert_close(vector, whole(made, EVENTS[:8]), atol=2e-5, rtol=1e-4)


def test_a_full_window_takes_no_more(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = HistoryStates(LENGTH)
    states.extend(made.network, codes)
    with pytest.raises(AssertionError, match="full"):
        states.extend(made.network, codes[:, :1])


def test_states_say_what_they_weigh(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = HistoryStates(LENGTH)
    assert states.bytes == 0
    states.extend(made.network, codes[:, :3])
    blocks, kept, room = 3, 2, 16
    assert states.bytes == blocks * kept * room * MODEL.dim * 4 + room * 8


@given(number=st.integers(0, 5_000), capacity=st.integers(1, 300))
def test_the_window_is_never_too_long_and_moves_in_jumps(number: int, capacity: int) -> None:
    begin, after = window_begin(number, capacity), window_begin(number + 1, capacity)
    assert 0 <= begin <= number
    assert number - begin <= capacity
    assert number - begin > capacity - max(1, capacity // 4) or begin == 0
    assert after in (begin, begin + max(1, capacity // 4))

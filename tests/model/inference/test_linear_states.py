"""Reading a history event by event gives what the whole network of linear blocks gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.inference import linear_states
from everfresh.model.inference.batched import read_batched
from everfresh.model.inference.linear_states import LinearStates
from everfresh.model.network.batches import encode_events, query_batch
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

LENGTH = 60
MODEL = ModelSettings(
    dim=8, block="linear", blocks=3, heads=2, max_length=LENGTH, dropout=0.0, epsilon=0.1
)
EVENTS = [
    # Now and then an event's time goes back.
    Interaction(
        1 + 7 * at % 11, ("view", "like")[at % 2], 10**12 + at**4 * 3_000 * (at % 5 > 0), at % 3
    )
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
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return recommender


def whole(made: Recommender, events: list[Interaction]) -> torch.Tensor:
    with torch.inference_mode():
        return made.network(query_batch(events, made.vocabulary, LENGTH))[-1]


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    """The tolerance that is promised: within 1e-4 of a vector of length 1."""
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, LENGTH - 2), max_size=8))
def test_extended_states_equal_the_full_forward(made: Recommender, cuts: set[int]) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = LinearStates(LENGTH)
    for begin, end in pairwise([0, *sorted(cuts), LENGTH - 1]):
        close(states.extend(made.network, codes[:, begin:end]), whole(made, EVENTS[:end]))
        assert states.length == end + 1


def test_event_by_event_equals_the_full_forward(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = LinearStates(LENGTH)
    for at in range(LENGTH - 1):
        close(states.extend(made.network, codes[:, at : at + 1]), whole(made, EVENTS[: at + 1]))


def test_a_long_history_goes_through_in_pieces(
    made: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_states, "_PIECE", 7)
    codes = encode_events(EVENTS, made.vocabulary)
    windows = [codes, codes[:, 3:10], codes[:, 5:6], codes[:, 1:30]]
    for window, (_, vector) in zip(
        windows, read_batched(made.network, windows, LENGTH), strict=True
    ):
        alone = LinearStates(LENGTH)
        close(vector, alone.extend(made.network, window))
    close(LinearStates(LENGTH).extend(made.network, codes), whole(made, EVENTS))


def test_what_was_peeked_at_is_forgotten(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = LinearStates(LENGTH)
    states.extend(made.network, codes[:, :6])
    other = states.peek(made.network, codes[:, 12:15])
    close(other, whole(made, [*EVENTS[:6], *EVENTS[12:15]]))
    close(states.extend(made.network, codes[:, 6:8]), whole(made, EVENTS[:8]))


def test_a_full_window_takes_no_more(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = LinearStates(LENGTH)
    states.extend(made.network, codes)
    with pytest.raises(AssertionError, match="full"):
        states.extend(made.network, codes[:, :1])


def test_memory_does_not_grow_with_the_history(made: Recommender) -> None:
    codes = encode_events(EVENTS, made.vocabulary)
    states = LinearStates(LENGTH)
    assert states.bytes == 0
    states.extend(made.network, codes[:, :1])
    after_one = states.bytes
    states.extend(made.network, codes[:, 1:])
    heads, by_time, waves = 2 * 4 * 4, 16 * 2, 32 * 8
    assert states.bytes == after_one == 3 * 4 * (heads + by_time + waves)

"""Histories that are read in one run are what each is that was read alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.inference.batched import read_batched
from everfresh.model.inference.incremental import HistoryStates
from everfresh.model.network.batches import encode_events
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import Vocabulary

LENGTH = 24
EVENTS = [
    Interaction(1 + 7 * at % 11, ("view", "like")[at % 2], at * at * 37_000, float(at % 3))
    for at in range(2 * LENGTH)
]


@pytest.fixture(scope="module", params=[1, 3])
def made(request: pytest.FixtureRequest) -> Recommender:
    model = ModelSettings(
        dim=8, blocks=request.param, heads=2, max_length=LENGTH, dropout=0.0, epsilon=0.1
    )
    recommender = Recommender(model, Vocabulary(), 5)
    count = list(range(len(EVENTS)))
    recommender.admit([DecodedExample(0, [], EVENTS, count, count)])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in recommender.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    return recommender


@settings(max_examples=40, deadline=None)
@given(
    windows=st.lists(st.tuples(st.integers(0, LENGTH), st.integers(1, LENGTH - 2)), min_size=1),
    more=st.integers(1, 3),
)
def test_read_batched_equals_read_alone_and_goes_on_alike(
    made: Recommender, windows: list[tuple[int, int]], more: int
) -> None:
    codes = [
        encode_events(EVENTS[first : first + number], made.vocabulary) for first, number in windows
    ]
    next_ones = encode_events(EVENTS[:more], made.vocabulary)
    for window, (states, vector) in zip(
        codes, read_batched(made.network, codes, LENGTH), strict=True
    ):
        alone = HistoryStates(LENGTH)
        wanted = alone.extend(made.network, window)
        torch.testing.assert_close(vector, wanted, atol=2e-5, rtol=1e-4)
        assert states.length == alone.length
        assert states.bytes <= alone.bytes
        if alone.length + more <= LENGTH:
            after = states.extend(made.network, next_ones)
            wanted = alone.extend(made.network, next_ones)
            torch.testing.assert_close(after, wanted, atol=2e-5, rtol=1e-4)

"""A version keeps the opponents: restored they go on alike; earlier builds' counts still load."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from everfresh.contracts.errors import CorruptVersion
from everfresh.model.opponents.opponent_file import (
    decode_opponents,
    encode_opponents,
    opponents_of_counts,
)
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import Vocabulary
from tests.model.opponents.test_neighbours import small
from tests.model.streams import example, stream

WINDOWS = [stream(seed, users=8, items=25, longest=12) for seed in range(8)]


def test_restored_at_any_window_they_rank_and_learn_like_those_that_went_on() -> None:
    limits = Limits(1_000, 15)  # rows make room all the time
    through, restored = Opponents(), Opponents()
    for at, window in enumerate(WINDOWS):
        restored = decode_opponents(encode_opponents(restored))
        for name, contender in through.contenders().items():
            ranks = restored.contenders()[name].ranks(window, True)
            assert np.array_equal(contender.ranks(window, True), ranks), (name, at)
        for learner in (through, restored):
            learner.update(window, at, limits, exclude_seen=True)
        assert encode_opponents(restored) == encode_opponents(through)


def test_a_log_that_is_full_is_restored_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everfresh.model.opponents.neighbours.CLICKS", 40)
    through, restored = small(40), Opponents()
    through = Opponents()
    for window in WINDOWS:
        restored = decode_opponents(encode_opponents(restored))
        ranks = through.neighbours.ranks(window, False)
        assert np.array_equal(ranks, restored.neighbours.ranks(window, False))
        through.update(window)
        restored.update(window)
    assert len(through.neighbours.log.kept()[0]) == 40
    assert encode_opponents(restored) == encode_opponents(through)


@pytest.mark.parametrize("raw", [b"", b"something else", msgspec.msgpack.encode((1, 2))])
def test_foreign_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(CorruptVersion):
        decode_opponents(raw)
    with pytest.raises(CorruptVersion):
        opponents_of_counts(raw, raw)


def test_counts_of_all_time_are_the_start_of_those_that_fade() -> None:
    vocabulary = Vocabulary()
    vocabulary.admit(*sighted([example(1, [], ["a", "b", "b", "c", "b", "a"])])[:1])
    row = vocabulary.row
    counts = {row("a"): {row("b"): 3, row("c"): 1}, row("b"): {row("a"): 2}}
    markov = msgspec.msgpack.encode((vocabulary.encode(), counts))
    made = opponents_of_counts(vocabulary.encode(), markov)
    assert made.popularity.ranks([example(2, [], ["b", "a", "c"])], False).tolist() == [1, 2, 3]
    assert made.markov.ranks([example(2, ["a"], ["c"])], False).tolist() == [2]
    assert made.markov.ranks([example(2, ["b"], ["b"])], False).tolist() == [2]
    again = decode_opponents(encode_opponents(made))
    for learner in (made, again):
        learner.update(WINDOWS[0])
    assert encode_opponents(again) == encode_opponents(made)

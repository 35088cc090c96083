from __future__ import annotations

import msgspec

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample
from everfresh.trainer.learning.reservoir import Reservoir, ReservoirState


def make(number: int, targets: int = 1, context: int = 0) -> DecodedExample:
    entries = [Interaction(n, "view", n) for n in range(context)]
    return DecodedExample(
        number,
        entries,
        [Interaction(n, "click", 9) for n in range(targets)],
        list(range(targets)),
        [7] * targets,
    )


def test_every_example_ever_offered_has_the_same_chance_to_stay() -> None:
    stays = [0] * 40
    for seed in range(3_000):
        reservoir = Reservoir(10, 5)
        reservoir.offer([make(n) for n in range(25)], seed)
        reservoir.offer([make(n) for n in range(25, 40)], seed + 1_000_000)
        for kept in reservoir.state.examples:
            stays[int(kept.user)] += 1
    # 3000 * 10 / 40 = 750 each; six standard deviations of a binomial are about 142.
    assert all(abs(count - 750) < 142 for count in stays)


def test_the_same_state_and_seed_keep_and_draw_the_same_after_a_restart() -> None:
    first = Reservoir(8, 5)
    first.offer([make(n, 2, 3) for n in range(20)], 1)
    raw = msgspec.msgpack.encode(first.state)
    second = Reservoir(8, 5)
    second.restore(msgspec.msgpack.decode(raw, type=ReservoirState))
    for reservoir in (first, second):
        reservoir.offer([make(n, 2, 3) for n in range(20, 40)], 2)
    assert first.state == second.state
    assert first.draw(9, 3) == second.draw(9, 3)
    assert first.draw(9, 3) != first.draw(9, 4)


def test_a_draw_is_of_different_examples_and_stops_at_the_events_asked_for() -> None:
    reservoir = Reservoir(10, 5)
    reservoir.offer([make(n, 3) for n in range(10)], 1)
    assert len(reservoir.draw(7.5, 1)) == 3
    assert reservoir.draw(0, 1) == []
    everything = reservoir.draw(1_000, 1)
    assert sorted(int(example.user) for example in everything) == list(range(10))


def test_contexts_are_cut_to_what_training_sees() -> None:
    reservoir = Reservoir(1, 4)
    reservoir.offer([make(0, 1, 9)], 1)
    assert [entry.item for entry in reservoir.state.examples[0].context] == [5, 6, 7, 8]


def test_a_reservoir_of_size_nothing_keeps_nothing() -> None:
    reservoir = Reservoir(0, 4)
    reservoir.offer([make(0)], 1)
    assert len(reservoir) == 0
    assert reservoir.draw(5, 1) == []


def test_a_smaller_size_after_a_restart_is_kept_to() -> None:
    reservoir = Reservoir(8, 5)
    reservoir.offer([make(n) for n in range(8)], 1)
    smaller = Reservoir(3, 5)
    smaller.restore(reservoir.state)
    assert len(smaller) == 3

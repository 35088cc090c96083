"""What holds for all strategies alike."""

from __future__ import annotations

import msgspec
import pytest

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.learning.network import fresh_network
from everfresh.trainer.learning.strategies import STRATEGIES, build_strategy
from everfresh.trainer.loop import Boundary
from tests.trainer.bench import Bench
from tests.trainer.logs import make_log
from tests.trainer.small_settings import with_strategy

LABELS = [3, 4, 6, 7]
REMEMBERING = sorted(set(STRATEGIES) - {"frozen", "finetune"})


class Killed(BaseException):
    """Stands for kill -9."""


def kill_before(step: str, times: int) -> Boundary:
    """Ends the loop before ``step`` is entered once more after ``times``."""
    left = [times]

    def boundary(entered: str) -> None:
        left[0] -= entered == step
        if left[0] < 0:
            raise Killed(entered)

    return boundary


@pytest.mark.parametrize("name", STRATEGIES)
def test_killed_between_training_and_publishing_it_reaches_the_same_versions(
    small_settings: Settings, name: str
) -> None:
    settings = with_strategy(small_settings, name)
    undisturbed = Bench(make_log(2, LABELS), settings)
    undisturbed.run()
    assert undisturbed.store.versions() == [1, 2, 3, 4]
    killed = Bench(make_log(2, LABELS), settings)
    for step, times in (("check", 1), ("write", 1), ("train", 0), ("report", 0)):
        with pytest.raises(Killed):
            killed.run(kill_before(step, times))
    killed.run()
    assert killed.versions() == undisturbed.versions()


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_foreign_memory_is_refused(small_settings: Settings, name: str) -> None:
    with pytest.raises(CorruptVersion, match="expected"):
        build_strategy(with_strategy(small_settings, name)).restore(b"\x07")


def test_strategies_learn_differently(small_settings: Settings) -> None:
    reached = {}
    for name in STRATEGIES:
        bench = Bench(make_log(2, LABELS), with_strategy(small_settings, name))
        bench.run()
        reached[name] = bench.versions()[-1][-1]["model.safetensors"]
    assert len(set(reached.values())) == len(STRATEGIES)


def test_frozen_publishes_the_weights_of_its_first_window_again(small_settings: Settings) -> None:
    bench = Bench(make_log(2, LABELS), with_strategy(small_settings, "frozen"))
    bench.run()
    weights = {row[-1]["model.safetensors"] for row in bench.versions()}
    assert len(weights) == 1


def test_a_pass_of_a_retrain_sees_every_event_so_far_once(small_settings: Settings) -> None:
    settings = with_strategy(small_settings, "retrain")
    bench = Bench(make_log(2, LABELS), settings)
    loop = bench.run()
    restored = build_strategy(settings)
    restored.restore(loop.learner.strategy.encode())
    batches = restored.training_batches(loop.learner.network, TrainingWindow(9, {}, [], {}), 4, 0)
    held = sum(len(example.targets) for late in loop.learner.gate.held for example in late.examples)
    assert held > 0
    assert (
        sum(int(batch.sequences.predicts.sum()) for batch in batches) + held
        == bench.store.manifest(4).events
    )


def test_a_retrain_takes_targets_that_come_late_in_the_order_of_the_log(
    small_settings: Settings,
) -> None:
    strategy = build_strategy(with_strategy(small_settings, "retrain"))
    entries = [Interaction(n, "click", n) for n in range(6)]
    for offsets in ([0, 1, 4], [5], [2, 3]):
        example = DecodedExample(1, [], [entries[n] for n in offsets], offsets, list(offsets))
        strategy.remember(fresh_network(small_settings), TrainingWindow(1, {}, [example], {}), 1)
    (kept,) = msgspec.msgpack.decode(strategy.encode(), type=list[DecodedExample])
    assert (kept.targets, kept.offsets, kept.appended) == (entries, [*range(6)], [*range(6)])

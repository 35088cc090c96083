from __future__ import annotations

import random

import msgspec
import pytest

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.gate.window_checks import CLASSES, Profile, implausible, pause_shares
from everfresh.trainer.scoring.paired import Paired

SETTINGS = GateSettings()


def window(label: int, users: int = 40, targets: int = 5, items: int = 50) -> TrainingWindow:
    """Users with pauses of seconds to hours, on many items."""
    rng = random.Random(label)
    examples = []
    for user in range(users):
        time, entries = 1_000_000_000_000, []
        for _ in range(targets + 1):
            time += int(1000 * 10 ** rng.uniform(0, 4))
            entries.append(Interaction(rng.randrange(items), "click", time))
        examples.append(DecodedExample(user, entries[:1], entries[1:], [], []))
    return TrainingWindow(label, {}, examples, {})


def changed(made: TrainingWindow, **fields: int) -> TrainingWindow:
    examples = [
        msgspec.structs.replace(
            example,
            targets=[msgspec.structs.replace(target, **fields) for target in example.targets],
        )
        for example in made.examples
    ]
    return msgspec.structs.replace(made, examples=examples)


def ahead(gain: float) -> Paired:
    """Live ahead of popularity by ``gain``, give or take a little, over 40 examples of 5."""
    error = 0.005 * 200
    return Paired(40, 200.0, -gain * 200, 30.0, 1000.0, -gain * 1000, 40 * (gain * 5) ** 2 + error)


def profile(gains: list[float]) -> Profile:
    made = Profile()
    for label, gain in enumerate(gains):
        made = made.after(window(label), ahead(gain), Paired())
    return made


USUAL = profile([0.03, 0.04, 0.03, 0.035, 0.03])


@pytest.mark.parametrize("label", range(10, 30))
def test_a_usual_window_passes(label: int) -> None:
    assert implausible(window(label), ahead(0.02), USUAL, SETTINGS) is None


def test_a_window_of_one_item_is_held_also_as_the_first_of_all() -> None:
    single = changed(window(9), item=7)
    assert "item 7 has 100%" in str(implausible(single, None, Profile(), SETTINGS))
    assert implausible(single, None, Profile(), GateSettings(item_share=1.0)) is None


def test_a_small_window_of_one_item_proves_nothing() -> None:
    assert implausible(changed(window(9, 1, 8), item=7), None, Profile(), SETTINGS) is None
    assert implausible(changed(window(9, 1, 10), item=7), None, Profile(), SETTINGS) is not None


def test_clock_garbage_is_held() -> None:
    rng = random.Random(1)
    usual = window(9)
    scattered = [
        msgspec.structs.replace(
            example,
            targets=[
                msgspec.structs.replace(target, time=rng.randrange(253_402_300_800_000))
                for target in example.targets
            ],
        )
        for example in usual.examples
    ]
    for broken in (changed(usual, time=0), msgspec.structs.replace(usual, examples=scattered)):
        assert "of another length" in str(implausible(broken, ahead(0.03), USUAL, SETTINGS))
        assert implausible(broken, ahead(0.03), profile([0.03, 0.03]), SETTINGS) is None


def test_a_window_whose_events_do_not_follow_from_histories_is_held() -> None:
    assert "do not follow" in str(implausible(window(9), ahead(-0.03), USUAL, SETTINGS))
    assert implausible(window(9), ahead(0.0), USUAL, SETTINGS) is None
    assert implausible(window(9), None, USUAL, SETTINGS) is None


def test_a_model_that_never_gained_by_histories_is_not_held_against_a_window() -> None:
    young = profile([-0.02, -0.03, -0.01, -0.03])
    assert implausible(window(9), ahead(-0.03), young, SETTINGS) is None


def test_the_profile_follows_the_stream_and_goes_through_bytes() -> None:
    assert USUAL.windows == 5
    assert USUAL.ahead == pytest.approx(0.033)
    assert sum(USUAL.pauses) == pytest.approx(1.0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(USUAL), type=Profile) == USUAL
    after = profile([0.03] * 5 + [0.1] * 30)
    assert after.ahead == pytest.approx(0.1, abs=0.001)


def test_pauses_are_told_apart_by_length_and_direction() -> None:
    times = [5_000_000, 4_000_000, 4_000_000, 4_030_000, 4_330_000]
    entries = [Interaction(1, "click", time) for time in times]
    example = DecodedExample(1, [], entries, [], [])
    assert pause_shares(TrainingWindow(1, {}, [example], {})) == [0.25] * 4 + [0.0] * (CLASSES - 4)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import GateSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.windows.holdout import HeldOut, hold_out

SIZES = st.lists(st.lists(st.integers(1, 30), max_size=8), min_size=1, max_size=12)


def window(label: int, sizes: list[int], first: int) -> TrainingWindow:
    made = []
    for user, size in enumerate(sizes):
        offsets = list(range(first, first + size))
        entries = [Interaction(offset, "click", offset) for offset in offsets]
        context = [Interaction(-1, "view", 0)]
        made.append(DecodedExample(user, context, entries, offsets, list(offsets)))
        first += size
    return TrainingWindow(label, {0: (0, first)}, made, {})


def offsets(examples: list[DecodedExample]) -> list[int]:
    return [offset for example in examples for offset in example.offsets]


@given(SIZES, st.sampled_from([0.0, 0.05, 0.5, 0.95]), st.integers(1, 3))
def test_every_event_is_a_target_once_sooner_or_later(
    windows: list[list[int]], share: float, kept: int
) -> None:
    settings = GateSettings(share=share, windows=kept)
    held: list[HeldOut] = []
    trained: list[int] = []
    first = 0
    for label, sizes in enumerate(windows):
        made = window(label, sizes, first)
        first += sum(sizes)
        split = hold_out(made, held, settings, 17)
        assert hold_out(made, held, settings, 17) == split
        # What the gate measures on was trained by nobody yet.
        assert not {*offsets(split.new), *offsets(split.past)} & {
            *trained,
            *offsets(split.window.examples),
        }
        trained += offsets(split.window.examples)
        held = split.held
        # A window is about its own time: late targets are few beside its own.
        late = sum(offset < first - sum(sizes) for offset in offsets(split.window.examples))
        assert late <= max(0.1, 2 * share) * sum(sizes) + 30
    waiting = [offset for late in held for offset in offsets(late.examples)]
    assert sorted(trained + waiting) == list(range(first))


def test_about_the_share_is_held_out_also_of_examples_with_one_target() -> None:
    split = hold_out(window(1, [1] * 4000, 0), [], GateSettings(share=0.05), 17)
    # 200 expected; five standard deviations of a binomial are 69.
    assert abs(len(split.new) - 200) < 69
    split = hold_out(window(1, [40] * 100, 0), [], GateSettings(share=0.05), 17)
    assert [len(example.targets) for example in split.new] == [2] * 100


def test_held_out_targets_keep_what_came_before_them_as_context() -> None:
    split = hold_out(window(1, [40], 0), [], GateSettings(share=0.05), 17)
    (last,), (first,) = split.new, split.window.examples
    assert [entry.item for entry in last.context] == [-1, *range(38)]
    assert (last.offsets, first.offsets) == ([38, 39], list(range(38)))
    assert len(first.context) == 1


def test_a_small_window_takes_in_little_of_what_a_large_one_held_out() -> None:
    """What is hot would otherwise be learnt from events of hours ago."""
    settings, held, first, late, past = GateSettings(), [], 0, [], []
    for label, size in enumerate([4000] * 5 + [20] * 5 + [4000] * 4):
        made = window(label, [1] * size, first)
        split = hold_out(made, held, settings, 17)
        late.append(sum(offset < first for offset in offsets(split.window.examples)))
        past.append(len(split.past))
        held, first = split.held, first + size
    assert late[:4] == [0] * 4
    assert 130 < late[4] < 270, "all that is due, between windows of one size"
    assert late[5:10] == [2] * 5
    assert past[9] < 10, "what waits is not measured on any more"
    assert late[10] == 400, "the next large window takes in more"
    assert len(held) == 4, "and in the end nothing waits"


def test_targets_are_held_out_for_the_windows_of_the_setting() -> None:
    settings, held, ages = GateSettings(share=0.5, windows=2), [], []
    for label in range(6):
        split = hold_out(window(label, [10], 10 * label), held, settings, 17)
        late = [offset for offset in offsets(split.window.examples) if offset < 10 * label]
        ages += [label - offset // 10 for offset in late]
        held = split.held
    assert set(ages) == {3}

from __future__ import annotations

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.scoring.target_groups import by_age, by_place


def example(user: int, known: int, targets: int) -> DecodedExample:
    entries = [Interaction(n, "click", n) for n in range(known + targets)]
    return DecodedExample(user, entries[:known], entries[known:], [], [])


def test_a_target_is_the_first_second_or_a_later_one_that_is_known_of_its_user() -> None:
    groups = by_place([example(1, 0, 4), example(2, 1, 2), example(3, 9, 1)])
    assert {name: mask.astype(int).tolist() for name, mask in groups.items()} == {
        "first": [1, 0, 0, 0, 0, 0, 0],
        "second": [0, 1, 0, 0, 1, 0, 0],
        "later": [0, 0, 1, 1, 0, 1, 1],
    }


def test_fresh_targets_are_those_whose_item_the_last_window_brought() -> None:
    vocabulary = Vocabulary(admit_after=2)
    vocabulary.admit([0, 0], 6)
    vocabulary.admit([0, 1, 2, 2], 7)
    # 0 is older, 1 waits for its row, 2 has one, 3 was never seen.
    groups = by_age([example(1, 0, 4)], vocabulary, 7)
    assert groups["fresh"].tolist() == [False, True, True, False]
    assert groups["older"].tolist() == [True, False, False, False]
    assert not any(mask.any() for mask in by_age([example(1, 0, 4)], vocabulary, None).values())

"""What of a window is left unlearnt: repeats, and what one user does far too often."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import load_settings
from everfresh.contracts.window import DecodedExample
from everfresh.trainer.windows.curation import FENCE, FEWEST, curated_examples, usual_most
from tests.trainer.bench import Bench
from tests.trainer.logs import example, make_log, run
from tests.trainer.small_settings import SMALL
from tests.trainer.test_killed import Run, at_every_step_once, nothing, now_and_then


def done(user: int, items: list[int], context: list[int] | None = None) -> DecodedExample:
    before, events = (
        [Interaction(item, "click", 1000 * at) for at, item in enumerate(each)]
        for each in (context or [], items)
    )
    places = list(range(len(events)))
    return DecodedExample(user, before, events, places, places)


def taught(examples: list[DecodedExample]) -> list[tuple[Any, Any]]:
    return [
        (each.user, target.item)
        for each in examples
        for target, mark in zip(each.targets, each.marks, strict=True)
        if not mark
    ]


def test_what_a_user_has_done_in_this_window_or_last_before_it_is_not_learnt_again() -> None:
    first, other = done(1, [5, 6, 5, 7, 7], context=[9, 5]), done(2, [5])
    kept, left = curated_examples([first, other], [first, other])
    assert taught(kept) == [(1, 6), (1, 7), (2, 5)]
    assert left == 3
    assert [target.item for target in kept[0].targets] == [5, 6, 5, 7], "context of what follows"
    again = done(3, [8]), done(3, [8, 4], context=[8])
    kept, left = curated_examples(again, again)
    assert (taught(kept), left) == ([(3, 8), (3, 4)], 1)


def test_another_action_on_the_same_item_is_no_repeat() -> None:
    example = done(1, [5, 5])
    bought = msgspec.structs.replace(example.targets[1], action="purchase")
    example = msgspec.structs.replace(example, targets=[example.targets[0], bought])
    assert curated_examples([example], [example]) == ([example], 0)


def test_of_a_user_with_far_more_than_is_usual_the_first_are_learnt() -> None:
    people = [done(user, [user, 500 + user]) for user in range(2, 102)]
    bot = done(1, list(range(1000, 1300)))
    kept, left = curated_examples([bot, *people], [bot, *people])
    assert usual_most([bot, *people]) == FENCE * 2 == FEWEST
    assert (left, len(kept[0].targets)) == (290, FEWEST)
    assert kept[1:] == people
    busy = [done(user, list(range(100))) for user in range(20)]
    assert curated_examples(busy, busy) == (busy, 0), "where all do much nobody does too much"


def test_as_many_are_left_as_a_count_one_by_one_says_and_refusals_are_no_part_of_it() -> None:
    chance = random.Random(5)
    for _ in range(50):
        window = []
        for user in range(chance.randint(1, 12)):
            each = done(user, chance.choices(range(9), k=chance.choice([1, 2, 40])))
            marks = [chance.random() < 0.2 for _ in each.targets]
            window.append(msgspec.structs.replace(each, refused=marks if any(marks) else []))
        taught_before = sum(each.taught for each in window)
        expected = []
        for each in window:
            seen: set[int] = set()
            own = 0
            for target, mark in zip(each.targets, each.marks, strict=True):
                fresh = target.item not in seen
                seen.add(int(target.item))
                if not mark and fresh and own < usual_most(window):
                    own += 1
                    expected.append((each.user, target.item))
        kept, left = curated_examples(window, window)
        assert taught(kept) == expected
        assert left == taught_before - len(expected)
        assert taught_before == sum(each.taught for each in window), "the window stays as it was"
        assert all(not each.marks[-1] for each in kept), "no tokens for what is not taught"


def curating(**gate: Any) -> Any:
    values = {**SMALL, "trainer": {**SMALL["trainer"], "curate": True}, "gate": gate}
    return load_settings(values)


def test_what_is_left_unlearnt_is_scored_and_named_in_manifest_report_and_figures() -> None:
    items = [[1, 1, 2], [4, 4, 4], [3, 5, 6]]
    places = [0, 3, 6]
    log = {
        0: [
            record
            for label, (start, each) in enumerate(zip(places, items, strict=True), 1)
            for record in run(0, label, start, [[example(7, each, start)]])
        ]
    }
    bench = Bench(log, curating(share=0.0))
    loop = bench.run()
    reports = [report for report in bench.reports.windows if report.seconds]
    assert [(report.events, report.curated) for report in reports] == [(3, 1), (3, 2), (3, 0)]
    manifests = [bench.store.manifest(version) for version in bench.store.versions()]
    assert [manifest.curated for manifest in manifests] == [1, 2, 0]
    assert manifests[-1].events == 6
    assert loop.figures.curated == 3
    assert loop.progress.through == {0: 9}, "what is not learnt is consumed"


@pytest.mark.parametrize("kill", [at_every_step_once(), now_and_then(3)], ids=["each", "some"])
def test_killed_anywhere_the_same_targets_are_left_unlearnt(kill: Any) -> None:
    log = make_log(2, [3, 4, 6, 7, 9], distort=lambda label, items: [*items, *items[: label % 3]])
    settings = curating()
    straight = Run(Bench(log, settings), nothing, nothing)
    straight.once()
    left = [straight.bench.store.manifest(n).curated for n in straight.bench.store.versions()]
    assert any(left)
    killed = Run(Bench(log, settings), nothing, kill)
    assert killed.to_the_end() > 0
    assert killed.bench.versions() == straight.bench.versions()
    assert left == [killed.bench.store.manifest(n).curated for n in killed.bench.store.versions()]
    plain = Bench(log, load_settings({**SMALL, "gate": {}}))
    plain.run()
    assert plain.versions() != straight.bench.versions()

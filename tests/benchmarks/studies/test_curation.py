"""The study ``curation`` in its short form, and its rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.curation import __main__ as study
from benchmarks.studies.curation.choices import CHOICES, SHARE, Told, tokens_of
from benchmarks.studies.curation.measure import Case, Result, Worth
from benchmarks.studies.curation.report import WARM, foretold, rows_of
from benchmarks.studies.curation.streams import stream_of
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample
from tests.benchmarks.short_run import short_run


def test_a_short_run_gives_all_figures_and_names_its_machine(tmp_path: Path) -> None:
    figures = short_run(study.main, tmp_path)
    assert figures.keys() >= {
        *("hr10_spoilt_all", "tokens_spoilt_bounded", "over_all_spoilt_bounded_low"),
        *("over_chance_spoilt_bounded", "train_s_spoilt_chance"),
    }
    assert figures["tokens_spoilt_all"] == 1.0
    assert figures["learnt_spoilt_bounded"] < 0.9


def test_a_spoilt_stream_has_as_much_injected_as_is_said() -> None:
    stream = stream_of("spoilt", 3, 3)
    injected = [bool(mark) for window in stream.windows for mark in stream.injected_in(window)]
    assert np.mean(injected) == pytest.approx(0.3, abs=0.02)
    sizes = Counter[object]()
    for window in stream.windows:
        for example in window.examples:
            sizes[example.user] += len(example.targets)
    assert {user for user, _ in sizes.most_common(4)} == {1, 2, 3, 4}, "they are the bots"


def test_rules_with_a_budget_keep_to_it_and_take_what_they_say() -> None:
    events = [Interaction(item, "click", item) for item in range(3)]
    examples = [DecodedExample(user, [], events, [0, 1, 2], [0, 1, 2]) for user in range(20)]
    live = np.repeat(np.arange(20.0), 3)
    told = Told(live, live[::-1].copy(), np.zeros(60, np.bool_), 100, 5)
    kept = {name: [each.user for each in CHOICES[name](examples, told)] for name in CHOICES}
    assert kept["hardest"] == kept["behind_counts"] == list(range(6, 20))
    assert kept["easiest"] == list(range(14))
    assert kept["all"] == kept["honest"] == kept["bounded"] == list(range(20))
    assert len(kept["chance"]) == 14
    assert kept["chance"] not in (kept["hardest"], kept["easiest"])
    assert sum(tokens_of(each, 100) for each in examples[:14]) == SHARE * 60


def test_gains_are_of_the_same_targets_and_a_measure_that_foretells_is_found() -> None:
    worth = [Worth(at, {"good": at, "flat": 1.0}, at / 10, -at) for at in range(WARM + 20)]
    every = Result([1, 99, 99, 99] * 25, [1] * 100, [*range(100)], 100, 1.0, 2.0, worth)
    half = Result([1, 1, 99, 99] * 25, [1] * 100, [*range(100)], 70, 0.7, 1.0, [])
    results = {Case("s", "all", 1): every, Case("s", "chance", 1): half}
    _, chance = rows_of(results, "s")
    assert (chance.hr10, chance.tokens) == (0.5, 0.7)
    mean, low, high = chance.over_all
    assert mean == 0.25
    assert 0.1 < low < 0.25 < high < 0.4
    table = foretold(results, "s")
    assert table["good"][0][1] > 0.9
    assert table["good"][1][2] < -0.9
    assert table["flat"][0][1] < 0 < table["flat"][0][2]

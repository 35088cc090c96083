"""The rule of ADER's protocol, by hand, and the benchmark's own figures on a tiny folder."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.continual import measure as continual
from benchmarks.continual.kept_work import Period
from everfresh.contracts.settings import Settings, load_settings
from everfresh.model.metrics import scores
from everfresh.model.opponents.opponents import Opponents
from everfresh.trainer.learning.learner import fresh_learner, remember
from everfresh.trainer.learning.training import train_window
from tests.trainer.small_settings import SMALL, with_strategy


def write(folder: Path, periods: dict[int, list[tuple[int, int]]]) -> None:
    for number, rows in periods.items():
        text = "".join(f"{session} {item}\n" for session, item in rows)
        (folder / f"period_{number}.txt").write_text(text)


@pytest.fixture
def small_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings({"home": str(tmp_path), **SMALL})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = random.Random(4)
    periods = {}
    for number in range(4):
        rows = []
        for session in range(12):
            at = rng.randrange(10 + 4 * number)
            rows += [(100 * number + session, at + step) for step in range(rng.randrange(1, 5))]
        periods[number] = rows
    write(tmp_path, periods)
    return tmp_path


def test_unseen_items_go_first_and_sessions_of_one_click_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continual, "PERIODS", 0)
    write(tmp_path, {0: [(1, 5), (2, 5), (1, 9), (2, 6), (1, 6), (3, 9), (3, 5), (4, 5)]})
    (window,) = continual.read_windows(tmp_path)

    def shape(known: set[object] | None) -> dict[object, tuple[list[object], list[object]]]:
        return {
            test.user: ([e.item for e in test.context], [e.item for e in test.targets])
            for test in continual.tests(window, known)
        }

    assert shape(None) == {1: ([5], [9, 6]), 2: ([5], [6]), 3: ([9], [5])}
    assert shape({5, 6}) == {1: ([5], [6]), 2: ([5], [6])}


def test_figures_are_those_of_ranking_every_kept_click(
    folder: Path, monkeypatch: pytest.MonkeyPatch, small_settings: Settings
) -> None:
    monkeypatch.setattr(continual, "PERIODS", 3)
    windows = continual.read_windows(folder)
    settings = with_strategy(small_settings, "finetune")
    periods = list(continual.run_strategy("finetune", windows, settings, range(3)))
    assert [period.period for period in periods] == [0, 1, 2]
    learner, known = fresh_learner(settings), set()
    for at in range(3):
        train_window(learner.task(windows[at], settings, at))
        remember(learner, windows[at], at)
        known |= {click.item for example in windows[at].examples for click in example.targets}
    ranker = learner.network.recommender
    for kept, fields in ((known, ("recall20", "mrr20")), (None, ("recall20_all", "mrr20_all"))):
        measured = scores(ranker.ranks(continual.tests(windows[3], kept), False), (20,))
        by_hand = [100 * measured["hr20"], 100 * measured["mrr20"]]
        np.testing.assert_allclose([getattr(periods[-1], name) for name in fields], by_hand)
    assert periods[-1].recall20 > periods[-1].recall20_all


@pytest.mark.parametrize("name", ["popularity", "markov", "vmis-knn"])
def test_opponents_are_asked_session_by_session_after_the_periods_before(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continual, "PERIODS", 3)
    windows = continual.read_windows(folder)
    done = continual.measure(name, windows, argparse.Namespace(work=None, retrain_periods=""))
    assert sorted(done) == [0, 1, 2]
    opponents = Opponents()
    for at in range(3):
        opponents.update(windows[at].examples, at)
    alone = [
        opponents.contenders()[name].ranks([test], False)
        for test in continual.tests(windows[3], None)
    ]
    measured = scores(np.concatenate(alone), (20,))
    assert done[2].recall20_all == pytest.approx(100 * measured["hr20"])
    assert done[2].tokens == 0


def test_a_retrain_measured_in_parts_is_the_retrain_measured_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, small_settings: Settings
) -> None:
    monkeypatch.setattr(continual, "PERIODS", 3)
    windows = continual.read_windows(folder)
    settings = with_strategy(small_settings, "retrain")
    at_once = list(continual.run_strategy("retrain", windows, settings, range(3)))
    (last,) = continual.run_strategy("retrain", windows, settings, [2])
    assert (last.recall20, last.mrr20_all, last.tokens) == (
        at_once[2].recall20,
        at_once[2].mrr20_all,
        at_once[2].tokens,
    )


@pytest.mark.parametrize("name", ["finetune", "replay"])
def test_a_run_that_was_killed_goes_on_to_the_same_figures(
    name: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_settings: Settings,
) -> None:
    monkeypatch.setattr(continual, "PERIODS", 3)
    windows = continual.read_windows(folder)
    settings = with_strategy(small_settings, name)
    monkeypatch.setattr(continual, "settings_of", lambda name: settings)

    def measured(work: Path | None, periods: int) -> list[Period]:
        options = argparse.Namespace(work=work, retrain_periods="")
        done = continual.measure(name, windows[: periods + 1], options)
        return [msgspec.structs.replace(done[at], train_s=0.0) for at in sorted(done)]

    at_once = measured(None, 3)
    assert measured(folder / "work", 1) == at_once[:1]
    assert measured(folder / "work", 3) == at_once
    learnt = []
    monkeypatch.setattr(continual, "train_window", lambda *given: learnt.append(given))
    assert measured(folder / "work", 3) == at_once
    assert not learnt, "nothing is learnt twice"

"""The page and the terminal's report show what is known, and nothing from outside steers them."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import msgspec
import pytest

from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.experiments.verdict.report import Limits, Plan, Report
from everfresh.experiments.verdict.words import words
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.experiment_page import page
from everfresh.infra.cli.views.experiment_plots import plots
from everfresh.infra.cli.views.experiment_report import as_tree, show
from tests.experiments.verdict.made_outcomes import outcome, reported
from tests.experiments.verdict.test_preference import clicks
from tests.experiments.verdict.test_what_if import simulated


def full(arm: str = "treatment") -> Report:
    made = [
        outcome(
            n,
            n % 200,
            "control" if n % 2 else arm,
            ["click"] if n % 3 else ["skip", "purchase"],
            n * 200_000,
            float(n % 7),
            version=n // 20 + 1,
        )
        for n in range(800)
    ]
    return reported(made, Plan({"control": 0.5, arm: 0.5}))


def test_the_page_stands_alone_and_has_its_plots() -> None:
    report = full()
    shown = page(report, words(report))
    assert "<script" not in shown
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', re.sub(r"xmlns:?\w*=\"[^\"]*\"", "", shown))
    assert "default-src 'none'" in shown
    assert shown.count("<svg") == len(list(plots(report))) == 3
    for svg in plots(report):
        ElementTree.fromstring(svg)


def test_the_same_report_makes_the_same_page() -> None:
    report = full()
    assert page(report, words(report)) == page(report, words(report))


@pytest.mark.parametrize("arm", ["<script>alert(1)</script>", "$x^{$", "\x1b[31m", "a" * 300])
def test_names_from_outside_are_shown_and_do_nothing(
    arm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = full(arm)
    assert "<script" not in page(report, words(report))
    show(Terminal(width=120), report, words(report))
    assert "\x1b[31m" not in capsys.readouterr().out


def test_the_terminal_says_first_what_is_known_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = full()
    show(Terminal(width=200), report, words(report))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Experiment ranking: 200 users, 800 answers")
    assert lines[1].startswith("No difference of treatment from control in click_through")
    assert lines[2].startswith("Next: ")
    assert any("users are split by these shares: p 1" in line for line in lines)


def test_json_has_the_figures_and_the_sentences_without_the_exact_sums() -> None:
    report = full()
    tree = json.loads(json.dumps(as_tree(report, words(report), [])))
    assert tree["comparisons"][0]["metric"] == "click_through"
    assert tree["comparisons"][0]["always"]["low"] < 0
    assert tree["words"]["known"] == words(report).known
    assert set(tree["counts"]) & {"arms", "offsets"} == set()
    assert tree["ratio"]["alarm"] is False


@pytest.mark.parametrize("rows", [0, 1])
def test_a_page_is_made_of_whatever_there_is(rows: int) -> None:
    report = reported([outcome(n, n) for n in range(rows)], limits=Limits(0.05, 5000, 0.05, 10))
    assert "Next: " in page(report, words(report))


def test_interleaving_and_estimates_are_shown_in_terminal_page_and_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for made, title in (
        (clicks(7, 300, second=0.35, first=0.2), "Interleaving: treatment against control"),
        (simulated(3, 100), "Off-policy: with another share of places"),
    ):
        report = reported(made, Plan({INTERLEAVED: 1.0}) if title[0] == "I" else None)
        show(Terminal(width=200), report, words(report))
        assert title in capsys.readouterr().out
        assert title in page(report, words(report))
        tree = json.loads(json.dumps(as_tree(report, words(report), [])))
        assert "credit" not in tree["counts"]
        for row in tree["preferences"]:
            assert row["won_first"] + row["won_second"] + row["tied"] == 300
            assert row["certain"] in {True, False}
        for row in tree["what_if"]:
            assert row["share"] in {0.0, 1.0}


def test_teams_with_names_from_outside_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "<script>\x1b[31m"
    made = [
        msgspec.structs.replace(
            each,
            exposure=msgspec.structs.replace(
                each.exposure,
                teams=[msgspec.structs.replace(team, arm=odd) for team in each.exposure.teams],
            ),
        )
        for each in clicks(7, 100, second=0.35, first=0.2)
    ]
    report = reported(made, Plan({INTERLEAVED: 1.0}))
    assert "<script" not in page(report, words(report))
    show(Terminal(width=120), report, words(report))
    assert "\x1b[31m" not in capsys.readouterr().out

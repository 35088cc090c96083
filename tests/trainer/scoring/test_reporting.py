from __future__ import annotations

from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.scoring.reporting import Figures, Timing, status, window_report
from everfresh.trainer.scoring.window_summary import summarize

MANIFEST = WeightManifest(
    1, 3, 2, 9, 777, {0: 5}, {0: 2}, [], {}, 40, 12, {"hr10_live": 0.5, "ndcg10_live": 0.25}
)


def window(appended: list[int]) -> TrainingWindow:
    entries = [Interaction(1, "click", 1)] * len(appended)
    examples = [
        DecodedExample(user, [], entries, list(range(len(appended))), appended)
        for user in (1, 1, 2)
    ]
    return TrainingWindow(9, {}, examples, {})


def test_a_report_carries_stages_that_add_up_from_closed_to_published() -> None:
    report = window_report(MANIFEST, summarize(window([100])), Timing(1000, 1200, 1300, 2300, 2350))
    assert report.seconds == {"read": 0.2, "score": 0.1, "train": 1.0, "publish": 0.05}
    assert (report.closed_ms, report.published_ms) == (1000, 2350)
    assert (report.version, report.scored_version, report.items) == (3, 2, 40)
    assert report.scores == {"live": {"hr10": 0.5, "ndcg10": 0.25}}


def test_a_report_written_again_says_when_the_version_was_made_and_no_stages() -> None:
    report = window_report(MANIFEST, summarize(window([100])), None)
    assert (report.closed_ms, report.published_ms, report.seconds) == (777, 777, {})


def test_status_holds_flat_figures_and_the_sum_of_alarms() -> None:
    figures = Figures(version=3, scores=MANIFEST.scores, held=1, undeleted=2)
    said = status(figures, "running", 5)
    assert (said.component, said.kind, said.time, said.state) == (
        "trainer",
        "trainer",
        5,
        "running",
    )
    assert said.figures["alarms"] == 3
    assert (said.figures["hr10"], said.figures["ndcg10"]) == (0.5, 0.25)
    assert all(isinstance(value, int | float | str) for value in said.figures.values())

from __future__ import annotations

from everfresh.contracts.report import QUANTILES
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.trainer.scoring.window_summary import summarize


def window(appended: list[int]) -> TrainingWindow:
    entries = [Interaction(1, "click", 1)] * len(appended)
    examples = [
        DecodedExample(user, [], entries, list(range(len(appended))), appended)
        for user in (1, 1, 2)
    ]
    return TrainingWindow(9, {}, examples, {})


def test_a_window_is_described_by_its_users_and_append_times_that_occurred() -> None:
    summary = summarize(window([100, 200, 300]))
    assert (summary.label, summary.events, summary.users) == (9, 9, 2)
    assert len(summary.appended) == QUANTILES
    assert (summary.appended[0], summary.appended[50], summary.appended[-1]) == (100, 200, 300)
    assert set(summary.appended) == {100, 200, 300}

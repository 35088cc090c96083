"""How far the trainer is with a stretch of history, as its reports say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everfresh.contracts.report import WindowReport
from everfresh.infra.cli.views.learned_history import LearnedHistory
from tests.infra.cli.reports import window


def reported(version: int, through: dict[int, int], **changes: Any) -> WindowReport:
    fields = {"through": through, "published_ms": 1000 * version, **changes}
    return msgspec.structs.replace(window(version), **fields)


def history() -> LearnedHistory:
    """Offsets 10 to 30 of partition 0, and 0 to 20 of partition 1."""
    return LearnedHistory({0: 10, 1: 0}, {0: 30, 1: 20})


def test_it_is_done_once_every_partition_is() -> None:
    learned = history()
    reports = [reported(1, {0: 10}), reported(2, {0: 20, 1: 10}), reported(3, {0: 30, 1: 15})]
    learned.take(reports)
    assert (learned.total, learned.consumed, learned.done) == (40, 35, False)
    assert [report.version for report in learned.windows] == [2, 3]
    # Of the first only what was before; after the last nothing is ours.
    learned.take([*reports, reported(4, {0: 31, 1: 40}), reported(5, {0: 40, 1: 50})])
    assert (learned.consumed, learned.done, learned.version) == (40, True, 4)


def test_time_left_follows_from_the_last_windows() -> None:
    learned = history()
    assert learned.left_s() is None
    learned.take([reported(1, {0: 15, 1: 0}), reported(2, {0: 20, 1: 5})])
    assert learned.left_s() == pytest.approx(25 / 10)


def test_a_window_that_was_held_is_consumed_and_not_learned() -> None:
    learned = history()
    held = reported(1, {0: 30, 1: 20}, held="item 7 has 90%", events=40)
    learned.take([reported(1, {0: 20, 1: 10}, events=20), held])
    assert (learned.done, learned.held, learned.events) == (True, 1, 20)


def test_reports_of_an_earlier_release_do_not_say_how_far_they_are() -> None:
    learned = history()
    learned.take([reported(1, {})])
    assert (learned.consumed, learned.windows) == (0, [])

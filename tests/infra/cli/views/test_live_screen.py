"""The live screen's curves of blocks."""

from __future__ import annotations

from everfresh.infra.cli.views.live_screen import sparkline


def test_a_sparkline_has_a_full_bar_at_the_top() -> None:
    assert sparkline([0.0, 0.5, 1.0, 2.0], 1.0) == "▁▅██"
    assert sparkline([0.0] * 3, 0.0) == "▁▁▁"
    assert len(sparkline([1.0] * 99, 1.0, width=10)) == 10

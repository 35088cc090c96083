"""Made-up window reports and replicas' statuses for the command line's tests."""

from __future__ import annotations

from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.infra.cli.views.scores import CONTENDERS, GROUPS, METRICS


def window(
    version: int, events: int = 100, score: float = 0.1, appended: list[int] | None = None
) -> WindowReport:
    hits = [f"{group}_hr10" for group in GROUPS]
    scores = {name: dict.fromkeys((*METRICS, *hits), score) for name in CONTENDERS}
    parent = version - 1 or None
    times = [0] * 101 if appended is None else appended
    return WindowReport(
        *(version, parent, version, events, 9, 9, scores, times, 1, 1, {}, events // 10),
        first=events // 2,
        second=events // 4,
        older=events // 2,
    )


def replica(name: str, time: int, version: int | None, since: int | None) -> ComponentStatus:
    figures = {"version": version, "live_since_ms": since}
    return ComponentStatus(name, "replica", time, "running", figures)

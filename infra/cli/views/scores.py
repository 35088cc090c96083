"""Scores of a run from its window reports: means over events, and curves over windows.

Pure. A window counts when every contender was measured on it. So the first window, on which the
first version is trained, does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.report import WindowReport

CONTENDERS = ("live", "frozen", "popularity", "markov")
METRICS = ("hr10", "ndcg10")
FRESH = "fresh_hr10"
"""Hit rate on items younger than one window; see ``contracts.report``."""


def scored(reports: Iterable[WindowReport]) -> list[WindowReport]:
    """The windows on which all contenders were measured."""
    return [
        report
        for report in reports
        if report.scored_version is not None
        and report.events > 0
        and all(metric in report.scores.get(name, {}) for name in CONTENDERS for metric in METRICS)
    ]


def mean_score(reports: Sequence[WindowReport], contender: str, metric: str) -> float | None:
    """Mean over events of windows that are ``scored``; ``None`` without any."""
    events = sum(report.events for report in reports)
    if not events:
        return None
    hits = sum(report.scores[contender][metric] * report.events for report in reports)
    return hits / events


def score_figures(reports: Sequence[WindowReport]) -> dict[str, float | None]:
    """``hr10_live`` and so on: every metric of every contender, over the scored windows."""
    kept = scored(reports)
    table = {
        f"{metric}_{name}": mean_score(kept, name, metric)
        for metric in METRICS
        for name in CONTENDERS
    }
    return table | {f"{FRESH}_{name}": _fresh_score(kept, name) for name in CONTENDERS}


def _fresh_score(reports: Sequence[WindowReport], contender: str) -> float | None:
    counted = [report for report in reports if FRESH in report.scores[contender]]
    targets = sum(report.fresh for report in counted)
    hits = sum(report.scores[contender][FRESH] * report.fresh for report in counted)
    return hits / targets if targets else None


def smoothed(values: Sequence[float], weights: Sequence[float], span: int) -> list[float]:
    """Centred weighted mean over ``span`` neighbours; shorter at the ends."""
    half = span // 2
    out = []
    for i in range(len(values)):
        part = slice(max(0, i - half), i + half + 1)
        total = sum(weights[part])
        pairs = zip(values[part], weights[part], strict=True)
        out.append(sum(v * w for v, w in pairs) / total if total else values[i])
    return out

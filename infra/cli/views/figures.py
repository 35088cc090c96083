"""The figures of a run, from its window reports: event-weighted means, curves, the flat report.

Pure. A window counts towards the quality figures when every contender was measured on it; the first
window, on which the first version is trained, is before all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everfresh.contracts.report import WindowReport

CONTENDERS = ("live", "frozen", "popularity", "markov")
METRICS = ("hr10", "ndcg10")
FRESH = "fresh_hr10"
"""The hit rate on items younger than one window; see ``contracts.report``."""


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
    counted = [one for one in reports if FRESH in one.scores[contender]]
    targets = sum(one.fresh for one in counted)
    hits = sum(one.scores[contender][FRESH] * one.fresh for one in counted)
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

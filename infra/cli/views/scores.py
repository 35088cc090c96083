"""Scores of a run from its window reports: means over events, and curves over windows.

Pure. A window counts when the live model was measured on it, and what it is measured with. So the
first window, on which the first version is trained, does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from everfresh.contracts.report import WindowReport

CONTENDERS = ("live", "frozen", "popularity", "markov", "vmis-knn")
METRICS = ("hr10", "ndcg10")
GROUPS = ("first", "second", "later", "fresh", "older")
"""Targets that are told apart; see ``contracts.report``."""
_ALWAYS = CONTENDERS[:4]
"""Those that reports of earlier releases have too."""


def scored(reports: Iterable[WindowReport]) -> list[WindowReport]:
    """The windows on which contenders were measured; ``vmis-knn`` is new, and may be missing."""
    return [
        report
        for report in reports
        if report.scored_version is not None
        and report.events > 0
        and all(metric in report.scores.get(name, {}) for name in _ALWAYS for metric in METRICS)
    ]


def mean_score(reports: Sequence[WindowReport], contender: str, metric: str) -> float | None:
    """Mean over events of windows that are ``scored``; ``None`` without any."""
    return _mean(reports, contender, metric, lambda report: report.events)


def score_figures(reports: Sequence[WindowReport]) -> dict[str, float | None]:
    """``hr10_live`` and so on: every metric of every contender, over the scored windows; and
    ``fresh_hr10_live`` and so on: the hit rate over each group."""
    kept = scored(reports)
    table = {
        f"{metric}_{name}": mean_score(kept, name, metric)
        for metric in METRICS
        for name in CONTENDERS
    }
    for group in GROUPS:
        metric = f"{group}_hr10"
        for name in CONTENDERS:
            table[f"{metric}_{name}"] = _mean(kept, name, metric, group_size(group))
    return table


def group_size(group: str) -> Callable[[WindowReport], int]:
    """How many targets of a report are in the group; 0 where an earlier release did not say."""
    if group != "later":
        return lambda report: int(getattr(report, group))
    return lambda report: report.events - report.first - report.second


def _mean(
    reports: Sequence[WindowReport],
    contender: str,
    metric: str,
    size: Callable[[WindowReport], int],
) -> float | None:
    counted = [report for report in reports if metric in report.scores.get(contender, {})]
    targets = sum(map(size, counted))
    hits = sum(report.scores[contender][metric] * size(report) for report in counted)
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

"""The figures of an evaluation: means over events of every contender, from its lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everfresh.evaluation.results import GroupScore, Margin, ResultLine, WindowScore


class ContenderFigures(msgspec.Struct):
    """One contender over all tested windows: means over events, and what its learning cost."""

    scores: dict[str, float]
    fresh: dict[str, float]
    train_s: float
    tokens: int
    margins: dict[str, Margin]
    windows: list[WindowScore]
    groups: dict[str, GroupScore] = {}


class Evaluation(msgspec.Struct):
    """``events`` were tested; the first of ``windows`` was only learnt.

    ``fresh_events`` are behind the means called ``fresh``; none is in the first two windows. The
    means of ``groups`` are over all windows, as all others are.
    """

    events: int
    fresh_events: int
    windows: int
    contenders: dict[str, ContenderFigures]


def collect(lines: Iterable[ResultLine]) -> Evaluation:
    """All lines of one run; contenders in the order in which they came."""
    windows: dict[str, list[WindowScore]] = {}
    margins: dict[str, dict[str, Margin]] = {}
    for line in lines:
        if isinstance(line, WindowScore):
            windows.setdefault(line.contender, []).append(line)
        else:
            margins.setdefault(line.contender, {})[line.metric] = line
    any_contender = next(iter(windows.values()), [])
    return Evaluation(
        events=sum(window.events for window in any_contender if window.scores),
        fresh_events=sum(window.fresh_events for window in any_contender),
        windows=len(any_contender),
        contenders={
            name: ContenderFigures(
                scores=_mean([(window.events, window.scores) for window in scored]),
                fresh=_mean([(window.fresh_events, window.fresh) for window in scored]),
                train_s=sum(window.train_s for window in scored),
                tokens=sum(window.tokens for window in scored),
                margins=margins.get(name, {}),
                windows=scored,
                groups=_groups(scored),
            )
            for name, scored in windows.items()
        },
    )


def _groups(windows: list[WindowScore]) -> dict[str, GroupScore]:
    names = list(dict.fromkeys(name for window in windows for name in window.groups))
    table = {}
    for name in names:
        parts = [window.groups[name] for window in windows if name in window.groups]
        means = _mean([(part.events, part.scores) for part in parts])
        table[name] = GroupScore(sum(part.events for part in parts), means)
    return table


def _mean(parts: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    measured = [(events, scores) for events, scores in parts if scores]
    total = sum(events for events, _ in measured)
    metrics = measured[0][1] if measured else {}
    return {
        metric: sum(events * scores[metric] for events, scores in measured) / total
        for metric in metrics
    }

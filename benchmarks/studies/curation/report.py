"""Tables and figures of what each rule learns, and of what the measures of a window foretell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import show_table
from benchmarks.studies.curation.gains import Gain, gain_over, hits, told
from benchmarks.studies.curation.measure import Case, Result

Results = Mapping[Case, Result]
WARM = 4
"""Windows from which on it is asked what the measures foretell: before, every window is worth
much, and the measures fall while the network begins to learn."""


class Row(NamedTuple):
    """A rule on a stream, over all seeds; gains are in HR@10, with 95 % intervals over users."""

    rule: str
    hr10: float
    network: float
    over_all: Gain
    over_chance: Gain
    tokens: float
    learnt: float
    train_s: float


def rows_of(results: Results, stream: str) -> list[Row]:
    """One for each rule that was run with every seed."""
    of_stream = {case: result for case, result in results.items() if case.stream == stream}
    rules = list(dict.fromkeys(case.rule for case in of_stream))
    seeds = sorted({case.seed for case in of_stream})
    found = []
    for rule in rules:
        runs = [of_stream.get(Case(stream, rule, seed)) for seed in seeds]
        mine = [run for run in runs if run is not None]
        alls, chances = (
            [of_stream[Case(stream, other, seed)] for seed in seeds] for other in ("all", "chance")
        )
        if len(mine) < len(seeds):
            continue
        found.append(
            Row(
                rule,
                float(np.mean(np.concatenate([hits(run.ranks) for run in mine]))),
                float(np.mean(np.concatenate([hits(run.network) for run in mine]))),
                gain_over(mine, alls),
                gain_over(mine, chances),
                sum(run.tokens for run in mine) / sum(run.tokens for run in alls),
                float(np.mean([run.learnt for run in mine])),
                sum(run.train_s for run in mine),
            )
        )
    return found


def foretold(results: Results, stream: str) -> dict[str, tuple[Gain, Gain]]:
    """Measure -> its rank correlation with the bits, and with the HR@10, that learning its window
    gained on the next one. Intervals are by Fisher's z with the variance of ranks, 1.06 / (n - 3)
    (Fieller, Hartley, Pearson 1957), over the mean of the seeds."""
    runs = [
        [worth for worth in result.worth if worth.at >= WARM]
        for case, result in results.items()
        if case.stream == stream and case.rule == "all"
    ]
    names = runs[0][0].measures if runs and runs[0] else {}
    table = {}
    for name in names:
        pairs = [
            _spearman(
                [
                    np.array([worth.measures[name] for worth in run]),
                    np.array([worth.bits if by == "bits" else worth.hr10 for worth in run]),
                ]
            )
            for by in ("bits", "hr10")
            for run in runs
        ]
        half, size = len(pairs) // 2, len(runs[0])
        table[name] = _fisher(pairs[:half], size), _fisher(pairs[half:], size)
    return table


def show(results: Results) -> None:
    """Two tables for each stream."""
    for stream in dict.fromkeys(case.stream for case in results):
        rows = [
            [
                *(row.rule, f"{row.hr10:.4f}", f"{row.network:.4f}"),
                *(told(row.over_all), told(row.over_chance)),
                *(f"{row.tokens:.1%}", f"{row.learnt:.1%}", f"{row.train_s:.0f}"),
            ]
            for row in rows_of(results, stream)
        ]
        heads = ("rule", "HR@10 ↑", "network ↑", "over all ↑", "over chance ↑", "tokens ↓")
        show_table(
            f"{stream}: HR@10 of what nobody injected, before it is learnt",
            (*heads, "learnt", "CPU s ↓"),
            rows,
            good="as many hits as all by fewer tokens, and more than chance by as many",
        )
        show_table(
            f"{stream}: rank correlation with what learning a window gains on the next one",
            ("measure", "bits taken off", "HR@10 gained"),
            [[name, *map(told, pair)] for name, pair in foretold(results, stream).items()],
            good="an interval without 0",
        )


def figures(results: Results) -> dict[str, float]:
    """The flat object."""
    flat: dict[str, float] = {}
    for stream in dict.fromkeys(case.stream for case in results):
        for row in rows_of(results, stream):
            name = f"{stream}_{row.rule}"
            flat |= {f"hr10_{name}": row.hr10, f"tokens_{name}": row.tokens}
            flat |= {f"learnt_{name}": row.learnt, f"train_s_{name}": row.train_s}
            for over, gain in (("all", row.over_all), ("chance", row.over_chance)):
                flat |= {
                    f"over_{over}_{name}{end}": value
                    for end, value in zip(("", "_low", "_high"), gain, strict=True)
                }
        for measure, (bits, hr10) in foretold(results, stream).items():
            flat |= {
                f"rho_bits_{stream}_{measure}": bits[0],
                f"rho_hr10_{stream}_{measure}": hr10[0],
            }
    return flat


def _spearman(pair: Sequence[NDArray[np.float64]]) -> float:
    """Of ranks, ties sharing theirs; 0 where one is the same for all."""
    ranked = [
        (np.sum(values[:, None] > values, 1) + np.sum(values[:, None] >= values, 1)) / 2.0
        for values in pair
    ]
    if min(ranks.std() for ranks in ranked) == 0:
        return 0.0
    return float(np.corrcoef(ranked)[0, 1])


def _fisher(found: Sequence[float], size: int) -> Gain:
    mean = float(np.mean(np.arctanh(np.clip(found, -0.999, 0.999))))
    wide = 1.96 * math.sqrt(1.06 / max(1, size - 3) / len(found))
    return math.tanh(mean), math.tanh(mean - wide), math.tanh(mean + wide)

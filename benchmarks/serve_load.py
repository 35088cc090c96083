"""Requests per second of the replicas beside an empty Ray Serve echo, behind the same HAProxy.

Real HTTP from wrk, real user states in RocksDB, exposures written to a real broker. Echo and we
take turns, so that a slow moment of the machine meets both; ratios of neighbours count.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.serving.made import publish, recommender, write_states
from benchmarks.serving.stand import ECHO, Stand, cluster, echo, replicas
from benchmarks.serving.wrk import Load, load
from everfresh.contracts.settings import ModelSettings, Settings

CONNECTIONS, ITEMS, USERS, CANDIDATES = 16, 10_000, 1_000, 100
PLOT = Path(__file__).parent.parent / "docs" / "serve_load.png"
LABELS = {
    "echo": "empty echo",
    "recommend": "/v1/recommend",
    "score": f"/v1/score, {CANDIDATES} candidates",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, draw, write."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    users, seconds, repeats = (100, 2.0, 1) if options.quick else (USERS, 6.0, options.repeats)
    warm, cold = measure(users, seconds, repeats)
    figures = {**figures_of(warm, ""), **figures_of(cold, "uncached_")}
    measured = {"with the user cache": warm, "without (every past is read anew)": cold}
    _show(measured)
    if not options.quick:
        draw(measured, PLOT)
    settings_told = {"items": ITEMS, "users": users, "connections": CONNECTIONS}
    finish({**figures, **settings_told}, began, options.json)


def measure(users: int, seconds: float, repeats: int) -> tuple[Runs, Runs]:
    """With the user cache and without, ``repeats`` times ``seconds`` for each kind of request."""
    model = ModelSettings()
    with cluster(model) as stand:
        settings = stand.settings
        publish(settings, recommender(ITEMS, model))
        write_states(settings, users, model.max_length - 1, ITEMS)
        warm = _measure(stand, settings, users, seconds, repeats)
        cold_settings = settings.model_copy(
            update={"serving": settings.serving.model_copy(update={"cache_mb": 0})}
        )
        return warm, _measure(stand, cold_settings, users, seconds, repeats)


class Run(NamedTuple):
    """One run of the load, and the processor time per request of every process that took part."""

    load: Load
    cpu_ms: float


Runs = dict[str, list[Run]]


def _measure(stand: Stand, settings: Settings, users: int, seconds: float, repeats: int) -> Runs:
    """Echo, recommend and score in turn, after everybody was asked for once."""
    random = np.random.default_rng(5)
    order = random.permutation(users).tolist()
    recommend = [{"user_id": user, "k": 10} for user in order]
    candidates = random.integers(1, ITEMS, CANDIDATES).tolist()
    score = [{"user_id": user, "items": candidates} for user in order]
    runs: Runs = {name: [] for name in LABELS}
    with replicas(settings, stand.ray) as url, echo(settings, stand.ray, url):
        targets = {
            "echo": (url + ECHO, recommend),
            "recommend": (f"{url}/v1/recommend", recommend),
            "score": (f"{url}/v1/score", score),
        }
        for address, bodies in targets.values():
            load(address, bodies, CONNECTIONS, max(2.0, users / 150))
        for _ in range(repeats):
            for name, (address, bodies) in targets.items():
                before = stand.cpu_s()
                one = load(address, bodies, CONNECTIONS, seconds)
                cpu_ms = 1000 * (stand.cpu_s() - before) / max(1, one.requests)
                runs[name].append(Run(one, cpu_ms))
    return runs


def draw(measured: Mapping[str, Runs], target: Path) -> None:
    """Requests per second, with the share of the echo and the p99 beside each bar."""
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    places = np.arange(len(LABELS))
    for at, (title, runs) in enumerate(measured.items()):
        heights = [median(one.load.per_s for one in runs[name]) for name in LABELS]
        bars = axes.barh(places + 0.2 - 0.4 * (1 - at), heights, 0.38, label=title)
        said = [
            f"{median(_ratios(runs, name)):.2f} of echo, p99 "
            f"{median(one.load.p99_ms for one in runs[name]):.0f} ms"
            for name in LABELS
        ]
        axes.bar_label(bars, said, padding=3, fontsize=8)
    axes.set_yticks(places, list(LABELS.values()))
    axes.invert_yaxis()
    axes.margins(x=0.28)
    axes.set_xlabel("requests per second")
    axes.set_title(f"{CONNECTIONS} connections, {ITEMS:,} items, two replicas each, two cores")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)


def _ratios(runs: Runs, name: str) -> list[float]:
    pairs = zip(runs[name], runs["echo"], strict=True)
    return [ours.load.per_s / empty.load.per_s for ours, empty in pairs]


def _cpu_ratios(runs: Runs, name: str) -> list[float]:
    """What the ratio would be on a machine that does nothing else and is busy with this."""
    pairs = zip(runs[name], runs["echo"], strict=True)
    return [empty.cpu_ms / ours.cpu_ms for ours, empty in pairs]


def figures_of(runs: Runs, prefix: str) -> dict[str, float]:
    """The figures by the names they have in the JSON object, each after ``prefix``."""
    found: dict[str, float] = {}
    for name, short in (("recommend", prefix), ("score", f"{prefix}score_")):
        ours = runs[name]
        found |= {
            f"{short}requests_per_s": round(median(one.load.per_s for one in ours), 1),
            f"{short}ratio_vs_echo": round(median(_ratios(runs, name)), 3),
            f"{short}cpu_ratio_vs_echo": round(median(_cpu_ratios(runs, name)), 3),
            f"{short}p50_ms": round(median(one.load.p50_ms for one in ours), 2),
            f"{short}p99_ms": round(median(one.load.p99_ms for one in ours), 2),
            f"{short}cpu_ms": round(median(one.cpu_ms for one in ours), 3),
        }
    empty = runs["echo"]
    return found | {
        f"{prefix}echo_per_s": round(median(one.load.per_s for one in empty), 1),
        f"{prefix}echo_p99_ms": round(median(one.load.p99_ms for one in empty), 2),
        f"{prefix}echo_cpu_ms": round(median(one.cpu_ms for one in empty), 3),
        f"{prefix}failed": sum(one.load.failed for each in runs.values() for one in each),
    }


def _show(measured: dict[str, Runs]) -> None:
    columns = ("", "requests/s", "of echo", "by CPU", "CPU ms", "p50 ms", "p99 ms", "failed")
    for title, runs in measured.items():
        rows = [
            (
                name,
                median(one.load.per_s for one in each),
                median(_ratios(runs, name)),
                median(_cpu_ratios(runs, name)),
                median(one.cpu_ms for one in each),
                median(one.load.p50_ms for one in each),
                median(one.load.p99_ms for one in each),
                sum(one.load.failed for one in each),
            )
            for name, each in runs.items()
        ]
        show(f"{CONNECTIONS} connections, {ITEMS:,} items, {title}", columns, rows)


if __name__ == "__main__":
    main()

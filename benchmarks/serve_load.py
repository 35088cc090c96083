"""Requests per second of the replicas beside an empty Ray Serve echo, behind the same HAProxy.

Real HTTP from wrk, real user states in RocksDB, exposures written to a real broker. Echo and we
take turns, so that a slow moment of the machine meets both; ratios of neighbours count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._harness import finish, median, parse_options, show
from benchmarks.serving.made import publish, recommender, write_states
from benchmarks.serving.stand import ECHO, cluster, echo, replicas
from benchmarks.serving.wrk import Load, load
from contracts.settings import ModelSettings, Settings

CONNECTIONS, ITEMS, USERS, CANDIDATES = 16, 10_000, 1_000, 100


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    model = ModelSettings()
    seconds, repeats = (2.0, 1) if options.quick else (6.0, options.repeats)
    with cluster(model) as (settings, ray):
        users = 100 if options.quick else USERS
        publish(settings, recommender(ITEMS, model))
        write_states(settings, users, model.max_length - 1, ITEMS)
        warm = _measure(settings, ray, users, seconds, repeats)
        cold_settings = settings.model_copy(
            update={"serving": settings.serving.model_copy(update={"cache_mb": 0})}
        )
        cold = _measure(cold_settings, ray, users, seconds, repeats)
    figures = {**_figures(warm, ""), **_figures(cold, "uncached_")}
    _show({"with the user cache": warm, "without (every past is read anew)": cold})
    settings_told = {"items": ITEMS, "users": users, "connections": CONNECTIONS}
    finish({**figures, **settings_told}, began, options.json)


Runs = dict[str, list[Load]]


def _measure(settings: Settings, ray: Any, users: int, seconds: float, repeats: int) -> Runs:
    """Echo, recommend and score in turn, after everybody was asked for once."""
    random = np.random.default_rng(5)
    order = random.permutation(users).tolist()
    recommend = [{"user_id": user, "k": 10} for user in order]
    candidates = random.integers(1, ITEMS, CANDIDATES).tolist()
    score = [{"user_id": user, "items": candidates} for user in order]
    runs: Runs = {"echo": [], "recommend": [], "score": []}
    with replicas(settings, ray) as url, echo(settings, ray, url):
        targets = {
            "echo": (url + ECHO, recommend),
            "recommend": (f"{url}/v1/recommend", recommend),
            "score": (f"{url}/v1/score", score),
        }
        for address, bodies in targets.values():
            load(address, bodies, CONNECTIONS, max(2.0, users / 150))
        for _ in range(repeats):
            for name, (address, bodies) in targets.items():
                runs[name].append(load(address, bodies, CONNECTIONS, seconds))
    return runs


def _ratios(runs: Runs, name: str) -> list[float]:
    return [ours.per_s / empty.per_s for ours, empty in zip(runs[name], runs["echo"], strict=True)]


def _figures(runs: Runs, prefix: str) -> dict[str, float]:
    ours = runs["recommend"]
    return {
        f"{prefix}requests_per_s": round(median(one.per_s for one in ours), 1),
        f"{prefix}ratio_vs_echo": round(median(_ratios(runs, "recommend")), 3),
        f"{prefix}p50_ms": round(median(one.p50_ms for one in ours), 2),
        f"{prefix}p99_ms": round(median(one.p99_ms for one in ours), 2),
        f"{prefix}score_per_s": round(median(one.per_s for one in runs["score"]), 1),
        f"{prefix}score_ratio_vs_echo": round(median(_ratios(runs, "score")), 3),
        f"{prefix}echo_per_s": round(median(one.per_s for one in runs["echo"]), 1),
        f"{prefix}echo_p99_ms": round(median(one.p99_ms for one in runs["echo"]), 2),
        f"{prefix}failed": sum(one.failed for each in runs.values() for one in each),
    }


def _show(measured: dict[str, Runs]) -> None:
    columns = ("", "requests/s", "of echo", "p50 ms", "p99 ms", "failed")
    for title, runs in measured.items():
        rows = [
            (
                name,
                median(one.per_s for one in each),
                median(_ratios(runs, name)),
                median(one.p50_ms for one in each),
                median(one.p99_ms for one in each),
                sum(one.failed for one in each),
            )
            for name, each in runs.items()
        ]
        show(f"{CONNECTIONS} connections, {ITEMS:,} items, {title}", columns, rows)


if __name__ == "__main__":
    main()

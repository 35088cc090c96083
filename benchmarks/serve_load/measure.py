"""Replicas, an empty echo, and the echo without Ray, under the same load, in turns; with the user
cache and without.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.harness.waiting import wait_until
from benchmarks.serve_load.anchor import anchor
from benchmarks.serve_load.wrk import Load, load
from benchmarks.stage.cluster import Cluster, cluster, module
from benchmarks.stage.serving import replicas, responds
from benchmarks.synthetic.states import write_states
from benchmarks.synthetic.versions import first_version, untrained
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.settings import ModelSettings, Settings

CONNECTIONS, ITEMS, USERS, CANDIDATES = 16, 10_000, 1_000, 100
ECHO_ROUTE = "/echo"
_ECHO_S = 480.0


class Run(NamedTuple):
    """One run of the load, and the processor time per request of every process that took part."""

    load: Load
    cpu_ms: float


Runs = dict[str, list[Run]]
"""``echo``, ``anchor``, ``recommend`` and ``score``, each with its runs."""


def measure(users: int, seconds: float, repeats: int) -> tuple[Runs, Runs]:
    """With the user cache and without, ``repeats`` times ``seconds`` for each kind of request."""
    model = ModelSettings()
    state = {"history_length": max(200, model.max_length)}
    with (
        tempfile.TemporaryDirectory(prefix="everfresh-bench-") as home,
        cluster(Path(home), heap_mb=256, model=model, state=state) as on,
    ):
        settings = on.settings
        recommender = untrained(ITEMS, model)
        first_version(settings.weights_url, recommender, settings.weights.snapshot_every)
        write_states(settings, users, model.max_length - 1, ITEMS)
        cached = _take_turns(on, settings, users, seconds, repeats)
        without_cache = settings.model_copy(
            update={"serving": settings.serving.model_copy(update={"cache_mb": 0})}
        )
        return cached, _take_turns(on, without_cache, users, seconds, repeats)


def _take_turns(on: Cluster, settings: Settings, users: int, seconds: float, repeats: int) -> Runs:
    """Echo, anchor, recommend and score in turn, after each was asked for every user once."""
    generator = np.random.default_rng(5)
    order = generator.permutation(users).tolist()
    recommend = [{"user_id": user, "k": 10} for user in order]
    candidates = generator.integers(1, ITEMS, CANDIDATES).tolist()
    score = [{"user_id": user, "items": candidates} for user in order]
    with (
        replicas(settings, on) as url,
        _echo(settings, on, url),
        anchor(settings.home) as plain,
    ):
        targets = {
            "echo": (url + ECHO_ROUTE, recommend),
            "anchor": (f"{plain.url}/", recommend),
            "recommend": (f"{url}/v1/recommend", recommend),
            "score": (f"{url}/v1/score", score),
        }
        for address, bodies in targets.values():
            load(address, bodies, CONNECTIONS, max(2.0, users / 150))
        runs: Runs = {name: [] for name in targets}
        for _ in range(repeats):
            for name, (address, bodies) in targets.items():
                before = on.cpu_s() + plain.cpu_s()
                result = load(address, bodies, CONNECTIONS, seconds)
                took_s = on.cpu_s() + plain.cpu_s() - before
                cpu_ms = 1000 * took_s / max(1, result.requests)
                runs[name].append(Run(result, cpu_ms))
    return runs


@contextlib.contextmanager
def _echo(settings: Settings, on: Cluster, url: str) -> Iterator[None]:
    """An empty deployment behind the same HAProxy, with as many replicas of its own.

    It reads nothing and answers with two letters; the rest is what Ray Serve and HAProxy cost
    anyway.
    """
    argv = [*module("benchmarks.serve_load.echo"), settings.ray.address, ECHO_ROUTE]
    number = str(settings.serving.replicas)
    environment = {**os.environ, **on.ray.driver_environment, "ECHO_REPLICAS": number}
    process = ChildProcess(argv, stdout=subprocess.DEVNULL, stderr=None, env=environment)
    try:
        wait_until(lambda: responds("POST", url + ECHO_ROUTE), "the echo", _ECHO_S)
        yield
    finally:
        process.stop(10.0)

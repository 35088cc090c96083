"""Replicas under load with one track and with four, in turns."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np

from benchmarks.harness.waiting import wait_until
from benchmarks.serve_load.wrk import Load, load
from benchmarks.stage.cluster import Cluster, cluster
from benchmarks.stage.serving import replicas
from benchmarks.synthetic.states import write_states
from benchmarks.synthetic.versions import manifest, untrained
from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition
from everfresh.contracts.experiments.exploration import Explore
from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import ModelSettings, Settings
from everfresh.contracts.topics import STATUS

CONNECTIONS, ITEMS = 16, 10_000
OTHERS = ("first", "second", "third")
CASES = {
    "1": "one track, no experiment",
    "4": "four tracks, no experiment",
    "1_experiment": "one track, an experiment with four arms",
    "4_experiment": "four tracks, an experiment with an arm for each",
    "4_interleaved": "four tracks, two of which make each answer together",
    "1_exploring": "one track, a tenth of whose places explore",
}
_WAIT_S = 60.0
_SETTLES_S = 5.0
"""Tracks that were declared a moment ago are still warmed up and read ahead for."""


class Run(NamedTuple):
    """One run: the load, CPU time per request of every process that took part, and memory."""

    load: Load
    cpu_ms: float
    replica_mb: float


Serving = dict[str, list[Run]]
"""The runs of each case."""


def measure(users: int, seconds: float, repeats: int) -> Serving:
    """Each case ``repeats`` times, in turns, for ``seconds``."""
    model = ModelSettings()
    state = {"history_length": max(200, model.max_length)}
    serving: Serving = {case: [] for case in CASES}
    with (
        tempfile.TemporaryDirectory(prefix="everfresh-bench-") as home,
        cluster(Path(home), heap_mb=256, model=model, state=state) as on,
    ):
        settings = on.settings
        tracks = _versions(settings, model)
        write_states(settings, users, model.max_length - 1, ITEMS)
        order = np.random.default_rng(5).permutation(users).tolist()
        bodies = [{"user_id": user, "k": 10} for user in order]
        with replicas(settings, on) as url:
            for turn in range(repeats):
                for case in CASES:
                    _set(settings, tracks, case, turn, url)
                    serving[case].append(_run(on, f"{url}/v1/recommend", bodies, users, seconds))
    return serving


def _versions(settings: Settings, model: ModelSettings) -> FsspecTracks:
    tracks = FsspecTracks(settings)
    for seed, name in enumerate((DEFAULT, *OTHERS), start=1):
        recommender, store = untrained(ITEMS, model, seed), tracks.store(name)
        store.write(manifest(1, recommender), recommender.save())
        store.advance(Pointer(1, 1))
    return tracks


def _set(settings: Settings, tracks: FsspecTracks, case: str, turn: int, url: str) -> None:
    """Bring the replicas to a case, and wait until they are there."""
    one = case.startswith("1")
    for name in OTHERS:
        live = Track(name=name, started=1, changed=1)
        tracks.declare(msgspec.structs.replace(live, state="ended") if one else live)
    arms, now_ms, running = _arms(case), time.time_ns() // 1_000_000, "_" in case
    interleaved = case.endswith("interleaved")
    definition = Definition(
        name=f"{case}-{turn}",
        arms=arms,
        seed="s",
        interleaved=interleaved,
        started=now_ms,
        changed=now_ms,
        stopped=None if running else now_ms,
    )
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        for name in log.read()[1]:
            log.write(name, None)
        log.write(definition.name, definition)
    wanted = {(each.name, each.track) for each in arms} if running else {(DEFAULT, DEFAULT)}
    wanted = {(INTERLEAVED, DEFAULT)} if interleaved else wanted
    wait_until(lambda: _answered_by(url) == wanted, f"{CASES[case]} at the replicas", _WAIT_S)
    others = set() if one else set(OTHERS)
    wait_until(lambda: _all_hold(settings, others), f"{CASES[case]} at every replica", _WAIT_S)
    time.sleep(_SETTLES_S)


def _arms(case: str) -> list[Arm]:
    names = (DEFAULT, *OTHERS)
    if case.endswith("interleaved"):
        return [Arm(name, 0.5, name) for name in names[:2]]
    if case.endswith("exploring"):
        return [Arm(name, 0.5, explore=Explore(0.1)) for name in names[:2]]
    return [Arm(name, 0.25, DEFAULT if case.startswith("1") else name) for name in names]


def _all_hold(settings: Settings, tracks: set[str]) -> bool:
    """Whether each replica has a version of these tracks beside the default one, and of no other;
    as of a second ago at most."""
    time.sleep(1.0)
    newest: dict[str, ComponentStatus] = {}
    with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix, [STATUS]) as tail:
        for record in tail.read_to_end():
            if isinstance(record, ComponentStatus) and record.kind == "replica":
                newest[record.component] = record
    said = [each.figures.get("tracks", {}) for each in newest.values() if each.state != "stopped"]
    return all(
        {name for name, track in each.items() if track["version"]} == tracks for each in said
    )


def _answered_by(url: str) -> set[tuple[str, str]]:
    """Arms and tracks of some answers."""
    told = set()
    for user in range(40):
        with contextlib.suppress(httpx.HTTPError, KeyError):
            body = {"user_id": user, "k": 1}
            said = httpx.post(f"{url}/v1/recommend", json=body, timeout=10.0).json()
            told.add((said["arm"], said["track"]))
    return told


def _run(on: Cluster, url: str, bodies: Sequence[Any], users: int, seconds: float) -> Run:
    load(url, bodies, CONNECTIONS, max(2.0, users / 150))  # until the histories are cached
    before = on.cpu_s()
    result = load(url, bodies, CONNECTIONS, seconds)
    cpu_ms = 1000 * (on.cpu_s() - before) / max(1, result.requests)
    sizes = [process.memory_info().rss for process in on.replicas()]
    return Run(result, cpu_ms, sum(sizes) / max(1, len(sizes)) / 1e6)

"""Replays events through a loop that is up, and takes the time of every stage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from benchmarks.freshness.probe import PROBE, Probe
from everfresh.adapters.files.datasets import fetch_ml100k
from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import WindowReport
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.demo.background_requests import BackgroundRequests
from everfresh.infra.cli.replay_process import ReplayProcess, replay_spec
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.components import settings_environment
from everfresh.infra.supervisor import Supervisor

LABELS = {
    "accepted": "accepted by the broker",
    "closed": "window complete",
    "trained": "scored and trained",
    "published": "checked and written",
    "live": "live on all replicas",
    "whole": "accepted to live",
}
STAGES = tuple(LABELS)
_REQUESTS_PER_S = 20.0
_SETTLE = 3  # the first windows come while everything warms up
_POLL_MS = 100
_DRAIN_S = 240.0

Samples = Mapping[str, list[tuple[float, float]]]
"""Stage to ``(seconds, events)``."""


def stages(report: WindowReport, live_ms: int) -> dict[str, list[tuple[float, float]]]:
    """Where the time of a window's events went, from acceptance on."""
    weight = report.events / len(report.appended)
    spent = report.seconds
    trained_ms = report.closed_ms + 1000 * sum(
        spent.get(name, 0.0) for name in ("read", "score", "train")
    )
    fixed = {
        "trained": (trained_ms - report.closed_ms) / 1000,
        "published": (report.published_ms - trained_ms) / 1000,
        "live": (live_ms - report.published_ms) / 1000,
    }
    samples = {name: [(seconds, float(report.events))] for name, seconds in fixed.items()}
    samples["closed"] = [((report.closed_ms - at) / 1000, weight) for at in report.appended]
    samples["whole"] = [((live_ms - at) / 1000, weight) for at in report.appended]
    return samples


def accepted(servers: str, topic: str) -> list[tuple[float, float]]:
    """Produced to accepted of the probe's events in the log, by the event's own time."""
    decode = msgspec.json.Decoder(Event).decode
    consumer = connect_consumer(Brokers(servers), [topic])
    try:
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(consumer.assignment())
        samples = []
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(500).values():
                for record in records:
                    if record.key == PROBE.encode():
                        event = decode(record.value)
                        samples.append(((record.timestamp - event.time) / 1000, 1.0))
        return samples
    finally:
        consumer.close()


def measure(run: Supervisor, rate: float, events: int) -> tuple[Samples, dict[str, Any]]:
    """Replay ``events`` at ``rate`` through a loop that is up."""
    servers, prefix = run.settings.kafka.bootstrap_servers, run.settings.kafka.topic_prefix
    topic, url = topic_name(prefix, EVENTS), endpoint_url(run.home)
    assert url is not None, "the loop is up"
    env = settings_environment(run.settings)
    spec = replay_spec(fetch_ml100k(print), Reading(form="ml-100k"), rate, events, env)
    feed = ReplayProcess(run.start_one_off(spec))
    requests = BackgroundRequests(lambda: url, feed.users, _REQUESTS_PER_S)
    probe = Probe(url, servers, topic)
    with RunFollower(run.settings) as watch:
        seen = watch.reports

        def look() -> None:
            watch.poll(_POLL_MS)
            if seen.version_everywhere() and not probe.is_alive():
                requests.start()
                probe.start()

        while not feed.ended():
            run.watch()
            look()
        until = time.monotonic() + _DRAIN_S
        # A short replay on a busy machine may end before the first version is live.
        while not probe.took_ms and time.monotonic() < until:
            look()
        probe.done.set()
        while seen.freshness_pending() and time.monotonic() < until:
            watch.poll(_POLL_MS)
        requests.stop()
        samples: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
        counted = 0
        for report in seen.windows[_SETTLE:]:
            live = seen.live.everywhere_since(report.version)
            if live is None or not report.seconds:
                continue
            counted += 1
            for stage, of_window in stages(report, live).items():
                samples[stage] += of_window
    samples["accepted"] = accepted(servers, topic)
    figures = {
        "windows": counted,
        "windows_seen": len(seen.windows),
        "requests": requests.sent,
        "failed": requests.failed,
        "visible_p50_ms": float(np.percentile(probe.took_ms, 50)),
        "visible_p99_ms": float(np.percentile(probe.took_ms, 99)),
        "probes": len(probe.took_ms),
    }
    return samples, figures

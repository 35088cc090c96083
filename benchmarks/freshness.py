"""How old an answer's knowledge is, stage by stage: the whole loop at a steady rate of events.

The real loop, as `everfresh up` starts it: embedded Kafka, stream worker, trainer, two replicas
behind HAProxy, requests all the while. MovieLens 100K is replayed at ``--rate`` events a second.
Of every event: produced -> accepted by the broker -> its window complete at the trainer -> trained
(scored before, written after) -> the version live on all replicas. Beside it, how long a new event
takes to be part of the history that an answer is made from.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
import msgspec
import numpy as np

from benchmarks._harness import add_options, finish, show
from everfresh.adapters.files.datasets import fetch_ml100k
from everfresh.adapters.kafka.consumers import connect_consumer
from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.event import Event
from everfresh.contracts.report import WindowReport
from everfresh.contracts.settings import load_settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.demo.background_requests import BackgroundRequests
from everfresh.infra.cli.replay_process import ReplayProcess, replay_spec
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.freshness import weighted_quantile
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.children import StepUpdate
from everfresh.infra.supervisor import Supervisor
from everfresh.streaming.producer import EventProducer

LABELS = {
    "accepted": "accepted by the broker",
    "closed": "window complete",
    "trained": "scored and trained",
    "published": "checked and written",
    "live": "live on all replicas",
    "whole": "accepted to live",
}
STAGES = tuple(LABELS)
PROBE = "freshness-probe"
_REQUESTS_PER_S = 20.0
_SETTLE = 3  # the first windows come while everything warms up
_POLL_MS = 100
_DRAIN_S = 30.0
_PROBE_S = 0.25
PLOT = Path(__file__).parent.parent / "docs" / "freshness.png"

Samples = Mapping[str, list[tuple[float, float]]]
"""Stage to ``(seconds, events)``."""


class Probe(threading.Thread):
    """Sends one event of a user of its own now and then, and asks until an answer knows it."""

    def __init__(self, url: str, servers: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._url, self._servers, self._topic = url, servers, topic
        self.done = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        """Until ``done``."""
        with EventProducer(self._servers, topic=self._topic) as events, httpx.Client() as client:
            known = -1
            while not self.done.wait(_PROBE_S):
                events.send(user_id=PROBE, item_id=1 + len(self.took_ms), type="view")
                began = time.monotonic()
                while not self.done.is_set():
                    body = {"user_id": PROBE, "k": 5}
                    answer = client.post(f"{self._url}/v1/recommend", json=body).json()
                    offset = answer.get("state_offset")
                    if offset is not None and offset > known:
                        known = offset
                        self.took_ms.append(1000 * (time.monotonic() - began))
                        break


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
    found = {name: [(seconds, float(report.events))] for name, seconds in fixed.items()}
    found["closed"] = [((report.closed_ms - at) / 1000, weight) for at in report.appended]
    found["whole"] = [((live_ms - at) / 1000, weight) for at in report.appended]
    return found


def accepted(servers: str, topic: str) -> list[tuple[float, float]]:
    """Produced to accepted of the probe's events in the log, by the event's own time."""
    decode = msgspec.json.Decoder(Event).decode
    consumer = connect_consumer(servers, [topic])
    try:
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(consumer.assignment())
        found = []
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(500).values():
                for record in records:
                    if record.key == PROBE.encode():
                        event = decode(record.value)
                        found.append(((record.timestamp - event.time) / 1000, 1.0))
        return found
    finally:
        consumer.close()


def quantile(samples: list[tuple[float, float]], share: float) -> float:
    """The weighted quantile."""
    return weighted_quantile(samples, share) or 0.0


def draw(found: Samples, rate: float, target: Path) -> None:
    """Median and p99 of each stage, as bars."""
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    places = np.arange(len(STAGES))
    for at, share in enumerate((0.5, 0.99)):
        heights = [quantile(found[stage], share) for stage in STAGES]
        bars = axes.barh(places + 0.2 - 0.4 * at, heights, 0.38, label=f"p{share * 100:.0f}")
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(places, [LABELS[stage] for stage in STAGES])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(f"From an event to answers that learned from it, {rate:,.0f} events/s")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)


def measure(run: Supervisor, rate: float, events: int) -> tuple[Samples, dict[str, Any]]:
    """Replay ``events`` at ``rate`` through a loop that is up."""
    servers, prefix = run.settings.kafka.bootstrap_servers, run.settings.kafka.topic_prefix
    topic, url = topic_name(prefix, EVENTS), endpoint_url(run.home)
    assert url is not None, "the loop is up"
    env = settings_environment(run.settings)
    spec = replay_spec(fetch_ml100k(print), "ml-100k", rate, events, env)
    feed = ReplayProcess(run.start_one_off(spec))
    requests = BackgroundRequests(lambda: url, feed.users, _REQUESTS_PER_S)
    probe = Probe(url, servers, topic)
    with RunFollower(run.settings) as watch:
        seen = watch.reports
        while not feed.ended():
            run.watch()
            watch.poll(_POLL_MS)
            if seen.version_everywhere() and not probe.is_alive():
                requests.start()
                probe.start()
        probe.done.set()
        until = time.monotonic() + _DRAIN_S
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
            for stage, found in stages(report, live).items():
                samples[stage] += found
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


def main() -> None:
    """Run, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--rate", type=float, default=500.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the replay")
    options = parser.parse_args()
    began = time.monotonic()
    seconds = 25.0 if options.quick else options.seconds
    interrupts = Interrupts()
    interrupts.install()
    with tempfile.TemporaryDirectory() as name:
        settings = load_settings({"home": Path(name) / "home"})
        with Supervisor(settings, interrupts, _say) as run:
            run.start()
            samples, figures = measure(run, options.rate, int(options.rate * seconds))
    rows = [
        (LABELS[stage], quantile(samples[stage], 0.5), quantile(samples[stage], 0.99))
        for stage in STAGES
    ]
    show(f"Freshness at {options.rate:,.0f} events/s", ("stage", "p50 s", "p99 s"), rows)
    print(
        f"an event is part of the history that answers are made from after "
        f"{figures['visible_p50_ms']:.0f} ms (p50), {figures['visible_p99_ms']:.0f} ms (p99)"
    )
    if not options.quick:
        draw(samples, options.rate, PLOT)
    for stage in STAGES:
        prefix = "" if stage == "whole" else f"{stage}_"
        for share in (0.5, 0.99):
            key = f"{prefix}p{share * 100:.0f}_s"
            figures[key] = round(quantile(samples[stage], share), 3)
    finish({"rate": options.rate, **figures}, began, options.json)


def _say(note: StepUpdate) -> None:
    print(note.step, note.what, note.text)


if __name__ == "__main__":
    main()

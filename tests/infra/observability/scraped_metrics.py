"""What every component offers at its metrics endpoint, once it has done a little of everything."""

from __future__ import annotations

import urllib.request
from collections import Counter

import msgspec

from everfresh.adapters.memory import ManualClock, MemoryReportSink
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.infra.guard.__main__ import metered
from everfresh.infra.guard.rounds import GuardRounds
from everfresh.model.opponents.opponents import MARKOV, POPULARITY, VMIS_KNN
from everfresh.serving import metrics as replica_metrics
from everfresh.streaming.follower import metrics as follower_metrics
from everfresh.streaming.metrics import WorkerMetrics
from everfresh.streaming.sources.figures import BridgeFigures
from everfresh.streaming.state.restore import RestoreFigures
from everfresh.streaming.state.snapshots import SnapshotFigures
from everfresh.streaming.state.write_batch import WriteBatch
from everfresh.trainer import metrics as trainer_metrics
from everfresh.trainer.scoring import reporting
from everfresh.trainer.scoring.prequential import FROZEN, LIVE, METRICS
from tests.conformance.test_sinks import REPORT
from tests.serving.replica_in_memory import PARTITION, Bench, publish

_CONTENDERS = (LIVE, FROZEN, POPULARITY, MARKOV, VMIS_KNN)
_REPORT = msgspec.structs.replace(
    REPORT,
    scores={contender: dict.fromkeys(METRICS, 0.5) for contender in _CONTENDERS},
    seconds=reporting.Timing(0, 1, 2, 3, 4).seconds,
)

OF_REAL_ASSIGNERS = ("left_out", "late", "failed", "unknown_arm")


def scrape_all(settings: Settings) -> dict[str, str]:
    """Kind of component -> the text that Prometheus gets of it."""
    return {
        "worker": _worker(settings),
        "trainer": _trainer(settings),
        "replica": _replica(settings),
        "follower": _follower(settings),
        "bridge": _bridge(settings),
        "guard": _guard(settings),
    }


def trainer_status() -> ComponentStatus:
    """As the trainer writes it."""
    figures = reporting.Figures(version=3, scores={"hr10_live": 0.1, "ndcg10_live": 0.05})
    return reporting.status(figures, "running", 0)


def replica_status() -> ComponentStatus:
    """Of a replica with a live version and a state."""
    bench = Bench()
    bench.remember(1, [3])
    bench.state.fresh_ms[PARTITION] = bench.clock()
    publish(bench.store, 1)
    bench.replica.start()
    bench.replica.stop()
    return bench.replica.status()


def _bridge(settings: Settings) -> str:
    bridge = BridgeFigures("bridge-shop", "shop", 0)
    bridge.add(Counter(read=3, events=1, filtered=1), Counter(not_json=1))
    bridge.lag = 2.0
    try:
        return _scraped(bridge.door.open(settings.metrics, "bridge-shop", settings.home))
    finally:
        bridge.door.close()


def _guard(settings: Settings) -> str:
    sink = MemoryReportSink()
    status = GuardRounds(dict, lambda name: [], []).status(0, "running")
    return _scraped_after(metered(sink, settings), sink, status)


def _worker(settings: Settings) -> str:
    worker = WorkerMetrics()
    worker.watch({}, RestoreFigures(), SnapshotFigures(), ManualClock())
    batch = WriteBatch()
    batch.accepted, batch.rejected = 2, Counter(oversize=1)
    worker.folded(3, batch, 0.01)
    worker.write.observe(0.002)
    try:
        return _scraped(worker.door.open(settings.metrics, "worker-0", settings.home))
    finally:
        worker.door.close()


def _trainer(settings: Settings) -> str:
    sink = MemoryReportSink()
    reports = trainer_metrics.metered(sink, settings)
    reports.window(_REPORT)
    # Of a track beside the default one.
    figures = reporting.Figures(version=2, scores={"hr10_live": 0.1})
    reports.status(reporting.status(figures, "running", 0, "bold"))
    sink.statuses.clear()
    return _scraped_after(reports, sink, trainer_status())


def _replica(settings: Settings) -> str:
    sink = MemoryReportSink()
    reports, measure = replica_metrics.metered(sink, settings)
    measure("http", "recommend", "200", "", 0.004)
    measure("http", "recommend", "503", "overloaded", 0.0001)
    measure("grpc", "score", "INTERNAL", "internal", 0.01)
    measure("grpc", "similar", "OK", "", 0.01)
    status = replica_status()
    # What an assigner counts that is not the one in memory.
    others = dict.fromkeys([f"experiments_{name}" for name in OF_REAL_ASSIGNERS], 0)
    status = msgspec.structs.replace(status, figures={**status.figures, **others})
    return _scraped_after(reports, sink, status)


def _follower(settings: Settings) -> str:
    sink = MemoryReportSink()
    told = {metric.figure: 1 for metric in follower_metrics.FIGURES}
    status = follower_metrics.FollowerFigures("follower-a").status(0, "running", **told)
    return _scraped_after(follower_metrics.metered(sink, settings), sink, status)


def _scraped_after(reports: MeteredReports, sink: MemoryReportSink, status: ComponentStatus) -> str:
    try:
        reports.status(status)
        (passed_on,) = sink.statuses
        without = {**passed_on.figures}
        url = without.pop("metrics")
        assert msgspec.structs.replace(passed_on, figures=without) == status
        return _scraped(url)
    finally:
        reports.close()


def _scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=240) as answer:
        return str(answer.read().decode())

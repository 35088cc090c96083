"""The one place where serving meets its adapters."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from everfresh.adapters.assigners.named import NamedArms
from everfresh.adapters.kafka.admin import cluster_id
from everfresh.adapters.kafka.definitions.following import DefinitionFollower
from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.state.coverage import StateCoverage
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.state.recent import RecentSegments
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.first_arm import FirstArms
from everfresh.contracts.ports import Assigner
from everfresh.contracts.settings import Settings
from everfresh.contracts.settings.refusals import Refusals
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.serving.history.arrival import StateArrival
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.http.app import HttpApp
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.following import CatalogueFollower
from everfresh.serving.metrics import metered
from everfresh.serving.replica import Replica, ReplicaPorts
from everfresh.serving.requests.admission import Admission
from everfresh.serving.rpc.service import RpcService
from everfresh.serving.versions.load_lock import LoadLock

if TYPE_CHECKING:
    from everfresh.serving.spans import ReplicaSpans


def now_ms() -> int:
    """The clock of serving: UTC, integer milliseconds."""
    return time.time_ns() // 1_000_000


class WiredReplica:
    """A replica on the real adapters. ``Unreachable`` where Kafka is not there."""

    def __init__(self, name: str, settings: Settings) -> None:
        kafka = settings.kafka
        topic = topic_name(kafka.topic_prefix, EVENTS)
        length = settings.state.history_length
        with contextlib.ExitStack() as closing:
            exposures = KafkaExposureSink(kafka.brokers, kafka.topic_prefix)
            closing.callback(exposures.close, 1.0)
            reports = KafkaReportSink(kafka.brokers, kafka.topic_prefix, windows=False)
            closing.callback(reports.close, 1.0)
            coverage = _coverage(settings, topic)
            reader = RocksHistoryReader(settings.state_dir, topic, length, coverage=coverage)
            closing.callback(reader.close)
            tracks = FsspecTracks(settings)
            store = tracks.store(DEFAULT)
            serving = settings.serving
            cache_bytes = serving.cache_mb << 20
            histories = CachedHistoryReader(reader, cache_bytes, serving.cache_ahead)
            with_metrics, measure = metered(reports, settings)
            closing.callback(with_metrics.close)
            load_lock = LoadLock(settings.home.resolve() / ".turn")
            # A follower's copy has no first arms but those of its snapshot.
            first_arms = None if settings.follower.enabled else reader.first_arms
            assigner = _assigner(settings, closing, first_arms or _unknown)
            catalogue = Catalogue(settings.items)
            followed = CatalogueFollower(
                lambda begin: KafkaItemSource(kafka.brokers, kafka.topic_prefix, begin), catalogue
            )
            closing.callback(followed.close)
            spans = _spans(name, settings, closing) if settings.tracing.enabled else None
            ports = ReplicaPorts(
                store,
                histories,
                exposures,
                with_metrics,
                assigner,
                coverage,
                load_lock,
                tracks=tracks,
                catalogue=catalogue,
                catalogue_figures=followed.figures,
                recent=_recent(reader, settings) if serving.tail else None,
                spans=spans,
            )
            self.replica = Replica(name, ports, now_ms, settings.poll_ms)
            closing.callback(self.replica.stop)
            admission = Admission(serving.max_ongoing, serving.timeout_ms, now_ms)
            self.http = HttpApp(self.replica, admission, now_ms, settings, measure, spans)
            self.rpc = RpcService(self.replica, admission, now_ms, settings, measure, spans)
            self._closing = closing.pop_all()
            self._arrival = StateArrival(coverage, settings)

    def may_join(self) -> bool:
        """Whether the current version is live here (law 8) and users' state is here."""
        return self.replica.may_join() and self._arrival.is_over()

    def close(self) -> None:
        """Stop the replica, then deliver what is queued. Harmless twice."""
        self._closing.close()


def _coverage(settings: Settings, topic: str) -> StateCoverage:
    stale_after_ms = round(settings.serving.stale_after_s * 1000)
    wanted = settings.follower.partitions if settings.follower.enabled else []
    return StateCoverage(settings.state_dir, topic, stale_after_ms, wanted)


def _unknown(user: UserId) -> None:
    return None


def _assigner(settings: Settings, closing: contextlib.ExitStack, first_arms: FirstArms) -> Assigner:
    """The source of arms that the settings choose; ``closing`` ends what it opens."""
    wanted, kafka = settings.experiments, settings.kafka
    if wanted.assigner == "request":
        return NamedArms(wanted.name, wanted.arms, wanted.track_of_arm)
    if wanted.assigner == "openfeature":
        # It may not be installed, since an extra of its own brings it.
        from everfresh.adapters.assigners.openfeature import (  # noqa: PLC0415
            OpenFeatureAssigner,
            provider_of,
        )

        asking = OpenFeatureAssigner(
            provider_of(wanted.provider),
            wanted.name,
            wanted.arms,
            wanted.deadline_ms,
            wanted.track_of_arm,
        )
        closing.callback(asking.close)
        return asking
    follower = DefinitionFollower(
        lambda: DefinitionReader(kafka.brokers, kafka.topic_prefix), first_arms
    )
    closing.callback(follower.close)
    return follower


def _spans(name: str, settings: Settings, closing: contextlib.ExitStack) -> ReplicaSpans:
    # OpenTelemetry may not be installed, since an extra of its own brings it.
    from everfresh.adapters.observe.tracing.opening import open_spans  # noqa: PLC0415
    from everfresh.serving.spans import ReplicaSpans  # noqa: PLC0415

    cluster = cluster_id(settings.kafka.brokers)
    spans = ReplicaSpans(open_spans(settings, "replica", name, cluster), now_ms)
    closing.callback(spans.close)
    return spans


def _recent(reader: RocksHistoryReader, settings: Settings) -> RecentSegments:
    return RecentSegments(reader.lookups, Refusals(settings.trainer.refusals))

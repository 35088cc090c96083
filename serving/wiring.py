"""The one place where serving meets its adapters."""

from __future__ import annotations

import contextlib
import time

from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.observe.metered_reports import MeteredReports
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.adapters.weights.signing import Keys
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.serving.admission import Gate
from everfresh.serving.history.history import PastReader
from everfresh.serving.http.app import Door
from everfresh.serving.replica import Doors, Replica
from everfresh.serving.rpc.door import RpcDoor
from everfresh.serving.versions.load_lock import Turns


def now_ms() -> int:
    """The clock of serving: UTC, integer milliseconds."""
    return time.time_ns() // 1_000_000


class WiredReplica:
    """A replica on the real adapters. ``Unreachable`` where Kafka is not there."""

    def __init__(self, name: str, settings: Settings) -> None:
        kafka = settings.kafka
        topic = topic_name(kafka.topic_prefix, EVENTS)
        length = settings.state.history_length
        with contextlib.ExitStack() as opening:
            exposures = KafkaExposureSink(kafka.bootstrap_servers, kafka.topic_prefix)
            opening.callback(exposures.close, 1.0)
            reports = KafkaReportSink(kafka.bootstrap_servers, kafka.topic_prefix)
            opening.callback(reports.close, 1.0)
            reader = RocksHistoryReader(settings.state_dir, topic, length)
            opening.callback(reader.close)
            store = FsspecWeightStore(settings.weights_url, keys=Keys.of(settings.weights))
            serving = settings.serving
            pasts = PastReader(
                reader,
                serving.cache_mb << 20,
                serving.cache_reuse_versions,
                serving.cache_ahead,
            )
            metered = MeteredReports(reports, "replica", settings)
            opening.callback(metered.close)
            turns = Turns(settings.home.resolve() / ".turn")
            doors = Doors(store, pasts, exposures, metered, turns)
            self.replica = Replica(name, doors, now_ms, settings.serving.poll_ms)
            opening.callback(self.replica.stop)
            gate = Gate(serving.max_ongoing, serving.timeout_ms, now_ms)
            self.door = Door(self.replica, gate, now_ms, settings)
            self.rpc = RpcDoor(self.replica, gate, now_ms, settings)
            self._open = opening.pop_all()

    def close(self) -> None:
        """Stop the replica, then deliver what is queued. Harmless twice."""
        self._open.close()

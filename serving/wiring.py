"""The one place where serving meets its adapters."""

from __future__ import annotations

import contextlib
import time

from contracts.settings import Settings
from contracts.topics import EVENTS, topic_name
from infra.kafka.exposures import KafkaExposureSink
from infra.kafka.sinks import KafkaReportSink
from infra.metered import MeteredReports
from infra.signing import Keys
from infra.state_reader import RocksHistoryReader
from infra.weights import FsspecWeightStore
from serving.gate import Gate
from serving.http import Door
from serving.past import PastReader
from serving.replica import Doors, Replica
from serving.rpc.door import RpcDoor
from serving.turns import Turns


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

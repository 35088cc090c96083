"""A machine whose follower keeps a copy of users' state, and what two machines' states say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from rocksdict import AccessType, Options, Rdict

from everfresh.adapters.state.coverage import StateCoverage
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.report import ComponentStatus, decode_status
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, STATUS
from tests.integration.stream_run import PARTITIONS, Stream
from tests.streaming.follower.state_digest import state_digest

FOLLOWER = ("-m", "everfresh.streaming.follower")


class Machine(Stream):
    """A home whose follower, and whose readers, know of the worker's by Kafka and snapshots."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers = settings.kafka.bootstrap_servers
        topic, length = self.topic(EVENTS), settings.state.history_length
        self.coverage = StateCoverage(settings.state_dir, topic, 10_000)
        self.reader = RocksHistoryReader(settings.state_dir, topic, length, coverage=self.coverage)

    def follower(self) -> subprocess.Popen[str]:
        return self.start(program=FOLLOWER)

    @contextmanager
    def following(self) -> Iterator[subprocess.Popen[str]]:
        process = self.follower()
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def applied(self) -> dict[int, int]:
        metas = {number: self.reader.partition_meta(number) for number in range(PARTITIONS)}
        return {number: meta.applied for number, meta in metas.items() if meta is not None}

    def said(self) -> ComponentStatus:
        words = [decode_status(record.value) for record in self.read(STATUS)]
        return [status for status in words if status.kind == "follower"][-1]


def digests(stream: Stream) -> dict[int, str]:
    """Of all states of a home whose writer has ended."""
    found, length = {}, stream.settings.state.history_length
    for number in range(PARTITIONS):
        path = stream.settings.state_dir / f"{stream.topic(EVENTS)}-{number}"
        database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
        found[number] = state_digest(dict(database.items()), length)
        database.close()
    return found


def ends(stream: Stream) -> dict[int, int]:
    """The offset after each partition's last event."""
    log = stream.log()
    return {n: max(r.offset for r in log if r.partition == n) + 1 for n in range(PARTITIONS)}

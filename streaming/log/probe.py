"""The worker's own connections to Kafka, beside the consumer that Faust holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.topics import CLOCK, topic_name
from everfresh.streaming.fold.rules import MAX_RECORD_BYTES
from everfresh.streaming.log.identity import LogIdentity, LogPlace, require_same
from everfresh.streaming.state.key_layout import OutboxRow

_FRAME_BYTES = 65_536
_ASK_MS = 3_000  # a worker that is told to stop waits for no longer than this


def log_identity(bootstrap_servers: str, topic: str, timeout_ms: int = 10_000) -> LogIdentity:
    """Ask the cluster; ``Unreachable`` where it does not answer or has no such topic."""
    try:
        with connect_admin(bootstrap_servers, timeout_ms) as admin:
            cluster = admin.describe_cluster()["cluster_id"]
            (found,) = admin.describe_topics([topic])
    except KafkaError as error:
        raise Unreachable(f"{bootstrap_servers} does not say what {topic} is: {error}") from None
    if found["error_code"]:
        raise Unreachable(f"topic {topic} does not exist at {bootstrap_servers}; create it")
    return LogIdentity(cluster, topic, str(found["topic_id"]), len(found["partitions"]))


class LogProbe:
    """Asks the brokers about one topic: is it still the same, where do its partitions begin and
    end. No group. What an open transaction has written counts: its records have their append time,
    whenever they become readable."""

    def __init__(self, bootstrap_servers: str, identity: LogIdentity) -> None:
        """``identity`` is the topic as it was when the worker started."""
        self._identity = identity
        self._topic = identity.topic
        self._servers = bootstrap_servers
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            client_id="everfresh-probe",
            group_id=None,
            isolation_level="read_uncommitted",
            request_timeout_ms=_ASK_MS,
        )
        self._reader: AIOKafkaConsumer | None = None  # made when it is first needed

    async def verify(self) -> None:
        """``LogMismatch`` where the topic was recreated or given more partitions since the start;
        ``Unreachable`` where nobody can tell."""
        found = await asyncio.to_thread(log_identity, self._servers, self._topic, _ASK_MS)
        require_same(self._identity, found)

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers."""
        await connect(self._consumer, self._servers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        if self._reader is not None:
            await self._reader.stop()

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset after the last record of each partition, now."""
        found = await self._consumer.end_offsets(self._of(partitions))
        return {place.partition: offset for place, offset in found.items()}

    async def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each partition still holds."""
        found = await self._consumer.beginning_offsets(self._of(partitions))
        return {place.partition: offset for place, offset in found.items()}

    async def following(self, partition: int, offset: int) -> int | None:
        """The offset of the first record from ``offset`` on that readers get to see; ``None`` where
        none came in time. For one caller at a time."""
        if self._reader is None:
            self._reader = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                client_id="everfresh-looking",
                group_id=None,
                isolation_level="read_committed",
                max_partition_fetch_bytes=1,  # brokers send one whole batch at least
            )
            await connect(self._reader, self._servers)
        (place,) = self._of([partition])
        self._reader.assign([place])
        self._reader.seek(place, offset)
        found = await self._reader.getmany(place, timeout_ms=_ASK_MS, max_records=1)
        self._reader.unsubscribe()
        return next((record.offset for record in found.get(place, [])), None)

    async def places(self, partitions: Iterable[int]) -> dict[int, LogPlace]:
        """Where the partitions begin and end; errors as of :meth:`verify`."""
        await self.verify()
        log, numbers = self._identity, list(partitions)
        starts, ends = await self.starts(numbers), await self.ends(numbers)
        return {
            number: LogPlace(
                log.cluster,
                log.topic,
                log.topic_id,
                number,
                starts[number],
                ends[number],
                log.partitions,
            )
            for number in numbers
        }

    def _of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in partitions]


class KafkaOutlet:
    """Produces outbox rows: idempotent and acknowledged by all replicas."""

    def __init__(self, bootstrap_servers: str, topic_prefix: str) -> None:
        self._prefix = topic_prefix
        self._servers = bootstrap_servers
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="everfresh-worker",
            enable_idempotence=True,
            acks="all",
            max_request_size=MAX_RECORD_BYTES + _FRAME_BYTES,
        )

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers."""
        await connect(self._producer, self._servers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def send(self, row: OutboxRow) -> Awaitable[Any]:
        """Queue a row; what comes back is done once all replicas have it."""
        sent: Awaitable[Any] = await self._producer.send(
            self._prefix + row.topic,
            value=row.value,
            key=row.key,
            partition=row.partition,
            headers=row.headers,
        )
        return sent

    async def stamp(self) -> int:
        """Write an empty record and return its append time: the broker's clock, UTC ms."""
        topic = topic_name(self._prefix, CLOCK)
        written = await self._producer.send_and_wait(topic, value=b"", partition=0)
        return int(written.timestamp)


async def connect(client: Any, servers: str) -> None:
    """Start a client; ``Unreachable`` where no broker answers."""
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        raise Unreachable(
            f"no Kafka broker answers at {servers} ({error}); check the address and that the "
            "broker runs"
        ) from None

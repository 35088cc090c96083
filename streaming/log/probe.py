"""Asks the brokers about the log: its identity, where its partitions begin and end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.adapters.kafka.rights import require_seen
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.log.clients import start_client
from everfresh.streaming.log.identity import LogIdentity, LogPlace, require_same
from everfresh.streaming.log.security import aiokafka_options

_ASK_MS = 3_000  # a worker that is told to stop waits for no longer than this


def log_identity(brokers: Brokers, topic: str, timeout_ms: int = 10_000) -> LogIdentity:
    """Ask the cluster; ``Unreachable`` where it does not answer or has no such topic."""
    with connect_admin(brokers, timeout_ms) as admin:
        return _identity(admin, brokers, topic)


def _identity(admin: KafkaAdminClient, brokers: Brokers, topic: str) -> LogIdentity:
    try:
        cluster = admin.describe_cluster()["cluster_id"]
        (about,) = admin.describe_topics([topic])
        if about["error_code"]:
            require_seen(admin, brokers, topic)
    except KafkaError as error:
        raise Unreachable(f"{brokers} does not say what {topic} is: {error}") from None
    if about["error_code"]:
        raise Unreachable(f"topic {topic} does not exist at {brokers}; create it")
    return LogIdentity(cluster, topic, str(about["topic_id"]), len(about["partitions"]))


class LogProbe:
    """Asks the brokers about one topic: is it still the same, where do its partitions begin and
    end. No group. What an open transaction has written counts: its records have their append time,
    whenever they become readable."""

    def __init__(self, brokers: Brokers, identity: LogIdentity) -> None:
        """``identity`` is the topic as it was when the worker started."""
        self._identity = identity
        self._topic = identity.topic
        self._brokers = brokers
        self._consumer = AIOKafkaConsumer(
            **aiokafka_options(brokers),
            client_id="everfresh-probe",
            group_id=None,
            isolation_level="read_uncommitted",
            request_timeout_ms=_ASK_MS,
        )
        self._record_consumer: AIOKafkaConsumer | None = None  # made when it is first needed
        self._admin: KafkaAdminClient | None = None
        self._asking = threading.Lock()

    async def verify(self) -> None:
        """``LogMismatch`` where the topic was recreated or given more partitions since the start;
        ``Unreachable`` where nobody can tell."""
        require_same(self._identity, await asyncio.to_thread(self._ask))

    def _ask(self) -> LogIdentity:
        """By a connection that is kept: asked once a second, each login would cost more than the
        question. One that fails is given up, and the next question has a new one."""
        with self._asking:
            if self._admin is None:
                self._admin = connect_admin(self._brokers, _ASK_MS)
            try:
                return _identity(self._admin, self._brokers, self._topic)
            except Unreachable:
                self._forget()
                raise

    def _end_asking(self) -> None:
        with self._asking:
            self._forget()

    def _forget(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    async def start(self) -> None:
        """Connect; ``Unreachable`` where no broker answers."""
        await start_client(self._consumer, self._brokers)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        if self._record_consumer is not None:
            await self._record_consumer.stop()
        await asyncio.to_thread(self._end_asking)

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset after the last record of each partition, now."""
        ends = await self._consumer.end_offsets(self._topic_partitions(partitions))
        return {place.partition: offset for place, offset in ends.items()}

    async def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each partition still holds."""
        starts = await self._consumer.beginning_offsets(self._topic_partitions(partitions))
        return {place.partition: offset for place, offset in starts.items()}

    async def next_offset(self, partition: int, offset: int) -> int | None:
        """The offset of the first readable record at ``offset`` or after it.

        ``None`` where none came in time. One caller at a time.
        """
        if self._record_consumer is None:
            self._record_consumer = AIOKafkaConsumer(
                **aiokafka_options(self._brokers),
                client_id="everfresh-looking",
                group_id=None,
                isolation_level="read_committed",
                max_partition_fetch_bytes=1,  # brokers send one whole batch at least
            )
            await start_client(self._record_consumer, self._brokers)
        (place,) = self._topic_partitions([partition])
        self._record_consumer.assign([place])
        self._record_consumer.seek(place, offset)
        records = await self._record_consumer.getmany(place, timeout_ms=_ASK_MS, max_records=1)
        self._record_consumer.unsubscribe()
        return next((record.offset for record in records.get(place, [])), None)

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

    def _topic_partitions(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in partitions]

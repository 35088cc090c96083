"""Writes what came of some records, and the source's offsets, in one Kafka transaction.

A transaction is open only while it is written. Readers of ``events`` wait for one that is open, so
one that a killed bridge leaves is ended by its next start, or by the broker after
:data:`OPEN_MS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import source_group
from everfresh.streaming.sources.topic import LIBRARY_LOG

OPEN_MS = 10_000
"""Milliseconds after which the broker aborts a transaction that nobody has ended."""
_LARGEST = 8 * 1024 * 1024 + 65_536
_WAIT_S = 30.0
_STEP_S = 5.0
_MOST_ABORTS = 10  # in a row; then what fails is no accident
_log = logging.getLogger("everfresh.bridge")


class Outgoing(msgspec.Struct, frozen=True):
    """A record to write; ``topic`` is its full name."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class TransactionalWriter:
    """One producer with an id of its own, which ends what an earlier one of that id left open."""

    def __init__(self, name: str, index: int, settings: Settings) -> None:
        """``Unreachable`` where no broker answers or a right is missing."""
        self._brokers = settings.kafka.brokers
        self._id = f"{source_group(settings.kafka.topic_prefix, name)}-{index}"
        self._name = name
        self._aborts = 0
        self._producer = Producer(
            {
                **librdkafka_options(self._brokers),
                "client.id": f"everfresh-bridge-{name}",
                "transactional.id": self._id,
                "transaction.timeout.ms": OPEN_MS,
                # The same partition as Kafka's own clients choose (law 1).
                "partitioner": "murmur2_random",
                "message.max.bytes": _LARGEST,
                "linger.ms": 2,
                "queue.buffering.max.messages": 100_000,
                "delivery.report.only.error": True,
                "allow.auto.create.topics": False,
                "log_level": 0,
                "logger": LIBRARY_LOG,  # or fatal errors would be written to stderr
            }
        )
        self._ask(lambda: self._producer.init_transactions(_WAIT_S))

    def write(
        self,
        records: Iterable[Outgoing],
        offsets: list[TopicPartition],
        group: Any,
        wait: Callable[[str], None],
    ) -> bool:
        """Whether all of it is in the log now; if not, nothing is. ``wait`` is called while the
        broker does not answer, and may raise. ``Unreachable`` where it refuses for good."""
        producer = self._producer
        try:
            producer.begin_transaction()
            for record in records:
                self._produce(record)
            self._ask(lambda: producer.send_offsets_to_transaction(offsets, group, _STEP_S), wait)
            self._ask(lambda: producer.commit_transaction(_STEP_S), wait)
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.fatal():
                raise self._refused(error) from None
            self._aborts += 1
            if self._aborts >= _MOST_ABORTS or _is_right(error):
                raise self._refused(error) from None
            _log.warning("a transaction is done again: %s", error)
            self._abort(wait)
            return False
        self._aborts = 0
        return True

    def close(self) -> None:
        """Give up what is not committed."""
        self._producer.purge()
        self._producer.flush(0)

    def _abort(self, wait: Callable[[str], None]) -> None:
        try:
            self._ask(lambda: self._producer.abort_transaction(_STEP_S), wait)
        except KafkaException as failure:
            raise self._refused(failure.args[0]) from None

    def _produce(self, record: Outgoing) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=list(record.headers)
                )
                return
            except BufferError:
                self._producer.poll(0.1)

    def _ask(self, step: Callable[[], object], wait: Callable[[str], None] | None = None) -> None:
        """Take a step of a transaction, again and again while the broker does not answer."""
        while True:
            try:
                step()
                return
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if wait is None:
                    raise self._refused(error) from None
                if not error.retriable():
                    raise
                wait(f"Kafka at {self._brokers}")

    def _refused(self, error: KafkaError) -> Unreachable:
        code = error.code()
        if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            return Unreachable(
                missing_right(self._brokers, f"Write on transactional id {self._id}")
            )
        if code in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            return Unreachable(
                f"the transactions of bridge {self._name} were taken over: another one runs with "
                f"the same index, or this one stood still for more than {OPEN_MS // 1000} s; "
                "nothing is lost: give the other one another --index, or start this one again"
            )
        return Unreachable(
            f"the bridge cannot write to Kafka at {self._brokers}: {error.str()}; check the "
            "topics' limits and this client's rights; nothing is lost, it goes on where it was"
        )


def _is_right(error: KafkaError) -> bool:
    return error.code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    )

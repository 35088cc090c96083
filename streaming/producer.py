"""The public producer client: events in, keyed by user, none lost without a word.

    with EventProducer("127.0.0.1:9092") as producer:
        producer.send(user_id=7, item_id="B00X", type="click")

Needs the base install alone (kafka-python and msgspec).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Required, Self, TypedDict, Unpack, overload

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from everfresh.contracts.errors import DeliveryError, EventRejected, Unreachable
from everfresh.contracts.event import Event, ItemId, UserId, user_key
from everfresh.contracts.event_codec import EventDecoder, event_headers

DEFAULT_TOPIC = "everfresh.events"
_BATCH_BYTES = 65_536
_BOOTSTRAP_MS = 5_000
_BLOCK_MS = 10_000
_LISTEN_SECONDS = 2.0
_ENVELOPE_BYTES = 4096  # room for key, headers and framing around the largest value


class EventFields(TypedDict, total=False):
    """The fields of an event; ``id`` and ``time`` are filled in where absent."""

    user_id: Required[UserId]
    item_id: Required[ItemId]
    type: Required[str]
    id: str
    time: int
    value: float | None
    request_id: str | None
    attributes: dict[str, Any] | None


class EventProducer:
    """Writes events to the log: idempotent, acknowledged by all replicas, in order per user.

    ``send`` queues and returns at once; batches leave after ``linger_ms``. What could not be
    delivered within ``delivery_timeout_s`` surfaces as :class:`DeliveryError`, with the number of
    events and the first cause, at the next ``send``, ``flush`` or ``close``; each failed event is
    told once. Thread-safe. Raises :class:`Unreachable` where no broker answers.

    ``actions`` are the event types that the worker accepts; without them any type passes here and
    the worker decides. ``max_bytes`` is the longest event value the worker accepts.

    ``on_delivered`` is called with partition and offset of each event that has reached the log, on
    a thread of the client: it must return at once.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str = DEFAULT_TOPIC,
        *,
        actions: Sequence[str] | None = None,
        max_bytes: int = 65_536,
        linger_ms: int = 5,
        delivery_timeout_s: float = 30.0,
        on_delivered: Callable[[int, int], None] | None = None,
    ) -> None:
        self._servers = bootstrap_servers
        self._topic = topic
        self._decoder = EventDecoder(actions, max_bytes)
        self._encode = msgspec.json.Encoder().encode
        self._run = uuid.uuid4().hex
        self._source = b"everfresh/producer"
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._failed = 0
        self._cause: BaseException | None = None
        self._closed = False
        self._max_bytes = max_bytes
        self._linger_ms = linger_ms
        self._delivery_s = delivery_timeout_s
        self._on_delivered = on_delivered
        self._producer: KafkaProducer | None = self._connect()

    def _connect(self) -> KafkaProducer:
        _require_listener(self._servers)
        delivery_ms = int(self._delivery_s * 1000)
        try:
            return KafkaProducer(
                bootstrap_servers=self._servers.split(","),
                client_id="everfresh-producer",
                acks="all",
                enable_idempotence=True,
                linger_ms=self._linger_ms,
                batch_size=_BATCH_BYTES,
                max_request_size=max(1_048_576, self._max_bytes + _ENVELOPE_BYTES),
                delivery_timeout_ms=delivery_ms,
                request_timeout_ms=min(30_000, max(1, delivery_ms - self._linger_ms)),
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
                max_block_ms=_BLOCK_MS,
                allow_auto_create_topics=False,
            )
        except (KafkaError, OSError, ValueError) as error:
            raise Unreachable(
                f"no Kafka broker answers at {self._servers} ({error!r}); check the address and "
                "that the broker runs"
            ) from None

    @overload
    def send(self, event: Event) -> Event: ...

    @overload
    def send(self, event: None = None, **fields: Unpack[EventFields]) -> Event: ...

    def send(self, event: Event | None = None, **fields: Any) -> Event:
        """Queue one event, given whole or by its fields, and return it.

        Raises :class:`EventRejected` where the worker would not accept it, :class:`DeliveryError`
        where earlier events failed (this one is then not queued).
        """
        self._raise_failures()
        if self._closed:
            raise DeliveryError("the producer is closed; open a new one")
        if event is None:
            event = self._build(fields)
        key, value, headers = self._wire(event)
        try:
            future = self._client().send(self._topic, key=key, value=value, headers=headers)
        except KafkaTimeoutError as error:
            raise DeliveryError(
                f"topic {self._topic} is not to be had at {self._servers} ({error}); create the "
                "topic or check the broker; this event was not sent"
            ) from None
        except KafkaError as error:
            raise DeliveryError(f"the event was not sent: {error!r}") from None
        future.add_errback(self._note_failure)
        if self._on_delivered is not None:
            delivered = self._on_delivered
            future.add_callback(lambda place: delivered(place.partition, place.offset))
        return event

    def flush(self, timeout_s: float | None = None) -> None:
        """Return once everything queued is in the log; :class:`DeliveryError` where it is not."""
        producer = self._producer
        if producer is not None:
            try:
                producer.flush(timeout=timeout_s)
            except KafkaTimeoutError as error:
                raise DeliveryError(f"events are still not acknowledged: {error}") from None
        self._raise_failures()

    def close(self) -> None:
        """Flush and disconnect; :class:`DeliveryError` where something did not reach the log."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            self._retire()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except DeliveryError as lost:
            if error is None:
                raise
            error.add_note(str(lost))  # the first error stays the one that is seen

    def _build(self, fields: Mapping[str, Any]) -> Event:
        missing = [name for name in ("user_id", "item_id", "type") if name not in fields]
        if missing:
            raise EventRejected("missing_field", f"{', '.join(missing)} must be given")
        given: dict[str, Any] = dict(fields)
        given.setdefault("id", f"{self._run}-{next(self._numbers)}")
        given.setdefault("time", time.time_ns() // 1_000_000)
        return Event(**given)

    def _wire(self, event: Event) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        """Encode, then read it back as the worker will: one set of rules for both."""
        if isinstance(event.value, float) and not math.isfinite(event.value):
            # JSON has no such number; msgspec would write null in its place.
            raise EventRejected("bad_value", f"a finite number expected, found {event.value}")
        try:
            value = self._encode(event)
            key = user_key(event.user_id)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventRejected(
                "wrong_field", f"the event cannot be written as JSON: {error}"
            ) from None
        if not key:
            raise EventRejected("bad_user_id", "user_id must not be empty")
        checked = self._decoder.decode(key, value, ())
        return key, value, event_headers(checked, self._source)

    def _client(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                self._producer = self._connect()
            return self._producer

    def _retire(self) -> None:
        """Let everything queued succeed or fail, then drop the client.

        After an error that it deems fatal, an idempotent client takes nothing more; the next
        ``send`` makes a new one.
        """
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError):
                producer.flush(timeout=self._delivery_s)
            producer.close(timeout=1)

    def _note_failure(self, cause: BaseException) -> None:
        with self._lock:
            self._failed += 1
            if self._cause is None:
                self._cause = cause

    def _raise_failures(self) -> None:
        if not self._failed:
            return
        self._retire()
        with self._lock:
            failed, cause = self._failed, self._cause
            self._failed, self._cause = 0, None
        raise DeliveryError(
            f"{failed} events did not reach topic {self._topic} at {self._servers}; first cause: "
            f"{cause!r}; send them again"
        )


def _require_listener(servers: str) -> None:
    """``Unreachable`` at once where nothing listens, rather than after the client's long wait."""
    problem: Exception = ValueError("no address given")
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _LISTEN_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            problem = error
        else:
            return
    raise Unreachable(
        f"no Kafka broker listens at {servers or 'the empty address'} ({problem}); give host:port "
        "of a running broker"
    )

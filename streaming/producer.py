"""The public producer client: events in, keyed by user, none lost without a word.

    with EventProducer("127.0.0.1:9092") as producer:
        producer.send(user_id=7, item_id="B00X", type="click")

Needs the base install alone (kafka-python and msgspec).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Required, Self, TypedDict, Unpack, overload

import msgspec
from kafka.errors import AuthorizationError, KafkaError, KafkaTimeoutError

from everfresh.adapters.kafka.rights import missing_right
from everfresh.contracts.errors import DeliveryError, EventRejected
from everfresh.contracts.event import Event, ItemId, UserId, user_key
from everfresh.contracts.event_codec import REASON_OF_FIELD, EventDecoder, event_headers
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.streaming.json_values import misfit, plain
from everfresh.streaming.producer_client import Client, ClientSettings, connect

DEFAULT_TOPIC = "everfresh.events"
_PRODUCERS: weakref.WeakSet[EventProducer] = weakref.WeakSet()


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

    A producer that was made before a fork works in the child too: it connects anew at the first
    ``send`` there. What was queued before the fork is the parent's to deliver. Close it in the
    child as well.

    ``actions`` are the event types that the worker accepts; without them any type passes here and
    the worker decides. ``max_bytes`` is the longest event value the worker accepts.

    ``on_delivered`` is called with partition and offset of each event that has reached the log, on
    a thread of the client: it must return at once.

    ``security`` is the TLS and the login that the cluster asks for; without it the client speaks
    PLAINTEXT.

    ``inject`` is called by each ``send`` with an empty dict, and what it puts there are headers of
    the record: with ``opentelemetry.propagate.inject`` each event carries the trace that it is sent
    in.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the application
        self,
        bootstrap_servers: str,
        topic: str = DEFAULT_TOPIC,
        *,
        actions: Sequence[str] | None = None,
        max_bytes: int = 65_536,
        linger_ms: int = 5,
        delivery_timeout_s: float = 30.0,
        on_delivered: Callable[[int, int], None] | None = None,
        security: KafkaSecurity | None = None,
        inject: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        brokers = Brokers(bootstrap_servers, security or KafkaSecurity())
        self._servers = bootstrap_servers
        self._topic = topic
        self._decoder = EventDecoder(actions, max_bytes)
        self._encode = msgspec.json.Encoder(enc_hook=plain).encode
        self._run = uuid.uuid4().hex
        self._source = b"everfresh/producer"
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._failed = 0
        self._cause: BaseException | None = None
        self._closed = False
        self._delivery_s = delivery_timeout_s
        self._on_delivered = on_delivered
        self._inject = inject
        self._settings = ClientSettings(brokers, max_bytes, linger_ms, delivery_timeout_s)
        self._producer: Client | None = connect(self._settings)
        _PRODUCERS.add(self)

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
        if self._inject is not None:
            context: dict[str, str] = {}
            self._inject(context)
            headers += [(name, text.encode()) for name, text in context.items()]
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
        """Encode, then read it back as the worker will: one set of rules for both.

        What comes back must be what was given.
        """
        try:
            value = self._encode(event)
            key = user_key(event.user_id)
            if not key:
                raise EventRejected("bad_user_id", "user_id must not be empty")
            checked = self._decoder.decode(key, value, ())
        except EventRejected:
            _require_kept(event)
            raise
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            _require_kept(event)
            raise EventRejected(
                "wrong_field", f"the event cannot be written as JSON: {error}"
            ) from None
        if checked != event:
            _require_kept(event)
        return key, value, event_headers(checked, self._source)

    def begin_in_child(self) -> None:
        """Called in a child process that has just been forked: the client is the parent's.

        So are the events that wait in it, and the failures. Their lock may be held by a thread that
        the child does not have. What the child sends has ids of its own.
        """
        self._lock = threading.Lock()
        self._producer = None
        self._failed, self._cause = 0, None
        self._run = uuid.uuid4().hex

    def _client(self) -> Client:
        with self._lock:
            if self._producer is None:
                self._producer = connect(self._settings)
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

    def _advice(self, cause: BaseException | None) -> str:
        if isinstance(cause, AuthorizationError):
            right = missing_right(self._settings.brokers, f"Write on topic {self._topic}")
            return f"{right}, then send them again"
        return "send them again"

    def _note_failure(self, cause: BaseException) -> None:
        with self._lock:
            self._failed += 1
            if self._cause is None:
                self._cause = cause

    def _take_failures(self) -> tuple[int, BaseException | None]:
        with self._lock:
            taken = self._failed, self._cause
            self._failed, self._cause = 0, None
        return taken

    def _raise_failures(self) -> None:
        if not self._failed:  # nearly always, and then without the lock
            return
        # Of several threads one tells of what failed so far; the others go on.
        failed, cause = self._take_failures()
        if not failed:
            return
        self._retire()
        failed += self._take_failures()[0]
        raise DeliveryError(
            f"{failed} events did not reach topic {self._topic} at {self._servers}; first cause: "
            f"{cause!r}; {self._advice(cause)}"
        )


def _begin_in_child() -> None:
    for producer in list(_PRODUCERS):
        producer.begin_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_begin_in_child)


def _require_kept(event: Event) -> None:
    """``EventRejected`` that names the field which JSON does not keep as it is, if there is one."""
    for name in event.__struct_fields__:
        try:
            found = misfit(name, getattr(event, name))
        except RecursionError:
            found = f"{name} is nested too deeply, or holds itself"
        if found is not None:
            raise EventRejected(REASON_OF_FIELD.get(name, "wrong_field"), found)

"""The stream worker: Faust does membership, fetching and commits; the fold does the rest.

For every fetch, in this order:

1. records below the applied offset are skipped (law 2);
2. the others are folded into a segment, dead letters are put into the outbox;
3. one fsynced write batch holds segment, offset, open slice and outbox;
4. the fetch is acknowledged, and Faust commits its offset for monitoring;
5. the outbox delivery makes the parts of closed slices, between fetches, and delivers the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, cast

import faust
from aiokafka.errors import KafkaError, UnsupportedCodecError

from everfresh.adapters.machine.home_identity import home_place
from everfresh.adapters.state.freshness import FreshnessMarks
from everfresh.contracts.errors import (
    EverfreshError,
    MissingDependency,
    SettingsError,
    Unreachable,
)
from everfresh.contracts.ports import Clock, ReportSink
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name, worker_group
from everfresh.streaming.catch_up import CatchUp
from everfresh.streaming.fold.rules import fold_rules, shaping
from everfresh.streaming.idle_slices import IdleSlices
from everfresh.streaming.join.exposure_reader import ExposureReader
from everfresh.streaming.log.faust_app import faust_app
from everfresh.streaming.log.fetch_transport import FetchConsumer, FetchSchema, FetchTransport
from everfresh.streaming.log.identity import LogIdentity
from everfresh.streaming.log.log_watch import LogWatch
from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.log.records import Fetch
from everfresh.streaming.log.sender import KafkaSender
from everfresh.streaming.log_reading import LogReading
from everfresh.streaming.metrics import WorkerMetrics, restore_left
from everfresh.streaming.ownership import Ownership
from everfresh.streaming.state.snapshots import SnapshotTaker
from everfresh.streaming.state.write_batch import WriteBatch
from everfresh.streaming.status import RUNNING, STOPPED, WorkerFigures, restore_status

if TYPE_CHECKING:
    from everfresh.streaming.fold_spans import FoldSpans

_WATCH_SECONDS = 0.05
_STATUS_SECONDS = 1.0
_STOP_SECONDS = 3.0
_APPEND_TIME = 1
_log = logging.getLogger("everfresh.streaming")


class StreamWorker:
    """One process of the stream. Build and run it inside a running event loop."""

    def __init__(
        self, settings: Settings, identity: LogIdentity, name: str, sink: ReportSink, clock: Clock
    ) -> None:
        """``name`` is this worker's: stable over restarts, unique in the group."""
        brokers = settings.kafka.brokers
        self._settings = settings
        self._identity = identity
        self._sink = sink
        self._clock = clock
        self._name = name
        self._metrics_url = ""
        self._figures = WorkerFigures(name, home_place(settings.home.resolve()), clock())
        self._metrics = WorkerMetrics()
        self._spans = _spans(settings, identity, name, clock) if settings.tracing.enabled else None
        self._probe = LogProbe(brokers, identity)
        self._sender = KafkaSender(brokers, settings.kafka.topic_prefix)
        self._watch = LogWatch(self._probe, self._sender, clock)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exposures: ExposureReader | None = None
        if settings.joins.horizon_s:
            self._exposures = ExposureReader(settings, self._watch.broker_ms, self._note)
        self._ownership = Ownership(
            settings, identity, self._probe, self._sender, self._exposures, self._fail
        )
        self._ownership.on_write = self._metrics.write.observe
        self._ownership.on_part = self._note
        self._owned = self._ownership.owned
        self._reading = LogReading(identity.topic, self._probe, self._consumer)
        self._marks = FreshnessMarks(settings.state_dir, identity.topic)
        self._catch_up: dict[int, CatchUp] = {}
        grace_ms = settings.windows.grace_ms
        self._idle = IdleSlices(self._owned, self._reading, self._probe, grace_ms, self._note)
        rules = shaping(fold_rules(settings))
        self._snapshots = SnapshotTaker(settings.state, self._ownership.snapshots, clock, rules)
        figures = (self._ownership.restores, self._snapshots.figures)
        self._metrics.watch(self._owned, *figures, clock)
        self._app = self._faust_app()

    def _faust_app(self) -> faust.App:
        app, topic = faust_app(self._settings, self._name), self._identity.topic
        app.transport = FetchTransport(
            app.conf.broker_consumer, app, topic, self._ownership.resume, self._ownership.release
        )
        app.agent(app.topic(topic, schema=FetchSchema()))(self._work)
        return app

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then leave in order; raises what made work impossible."""
        await self._probe.start()
        await self._sender.start()
        door = self._metrics.door
        self._metrics_url = door.open(self._settings.metrics, self._name, self._settings.home)
        loops = [
            self._watch_partitions(),
            self._report(),
            self._watch.run(),
            self._snapshots.run(self._owned),
        ]
        if self._exposures is not None:
            await self._exposures.start()
            loops.append(self._exposures.run(self._owned))
        tasks = [asyncio.create_task(loop) for loop in loops]
        for task in tasks:
            task.add_done_callback(self._note_end)
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._app.start())
        starting.add_done_callback(self._note_end)
        ends: list[asyncio.Future[Any]] = [stopping, self._failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for running in (*tasks, stopping, starting):
            running.cancel()
        await self._shut_down()
        if self._failed.done():
            self._failed.result()

    async def _work(self, stream: faust.StreamT[Fetch]) -> None:
        async for fetch in stream:
            try:
                await self._apply(fetch)
            except Exception as error:
                self._fail(error)
                await asyncio.Event().wait()  # never acknowledged; the worker is stopping

    async def _apply(self, fetch: Fetch) -> None:
        owned = self._owned.get(fetch.partition)
        if owned is None or await self._reading.sent_back(owned, fetch):
            return
        await owned.delivery.wait_for_room()
        if self._owned.get(fetch.partition) is not owned:
            return  # given back meanwhile; its next owner reads on where the state ends
        if fetch.records[0].timestamp_type != _APPEND_TIME:
            raise SettingsError(
                f"records of {self._identity.topic} carry the producer's time; windows need the "
                "broker's: set message.timestamp.type=LogAppendTime on the topic"
            )
        began = time.perf_counter()
        batch = owned.partition.apply(fetch.records)
        took_s = time.perf_counter() - began
        self._metrics.folded(len(fetch.records), batch, took_s)
        if self._spans is not None:
            self._spans.folded(fetch.partition, fetch.records, batch, took_s)
        self._figures.note(batch)
        if batch.outbox_batches or owned.partition.has_parts_to_make:
            owned.delivery.wake()

    async def _watch_partitions(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._app.crashed:
                raise _crash(self._app.crash_reason)
            now_ms = self._watch.broker_ms()
            if now_ms is not None:
                with contextlib.suppress(KafkaError):
                    await self._idle.close_overdue(now_ms)

    async def _report(self) -> None:
        while True:
            lag: int | str = "unknown"
            with contextlib.suppress(KafkaError):
                asked_ms = self._clock()
                lag = await self._reading.lag(self._owned)
                self._mark_fresh(asked_ms)
            self._metrics.lag = float("nan") if lag == "unknown" else float(lag)
            self._send_status(RUNNING, lag=lag)
            await asyncio.sleep(_STATUS_SECONDS)

    def _mark_fresh(self, asked_ms: int) -> None:
        """Tell replicas on this machine until when the state holds all that the log held."""
        for number, (end, reached) in self._reading.looked.items():
            catch_up = self._catch_up.setdefault(number, CatchUp())
            catch_up.note_end(end, asked_ms)
            if (fresh_ms := catch_up.note_reached(reached)) is not None:
                self._marks.set(number, fresh_ms)

    def _send_status(self, state: str, **more: Any) -> None:
        self._sink.status(
            self._figures.status(
                self._clock(),
                state,
                partitions=len(self._owned),
                clock_ahead_ms=self._watch.ahead_ms,
                undelivered=sum(each.partition.outbox.waiting for each in self._owned.values()),
                metrics=self._metrics_url,
                **restore_status(self._ownership.restores, restore_left(self._owned)),
                **more,
            )
        )

    async def _shut_down(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._app.stop(), _STOP_SECONDS)
        await self._ownership.release_all()
        self._send_status(STOPPED)
        for client in (self._sender, self._probe, self._exposures):
            if client is not None:
                await client.stop()
        self._metrics.door.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)

    def _note(self, batch: WriteBatch) -> None:
        self._figures.note(batch)
        self._metrics.note(batch)
        if self._spans is not None:
            self._spans.ended(batch)

    def _consumer(self) -> FetchConsumer:
        return cast(FetchConsumer, self._app.consumer)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, UnsupportedCodecError):
            error = MissingDependency(
                f"records of {self._identity.topic} are compressed and cannot be read here: "
                f"{error}; install cramjam, which the extra stream brings"
            )
        elif isinstance(error, KafkaError):
            error = Unreachable(
                f"Kafka at {self._settings.kafka.bootstrap_servers} fails ({error}); check that "
                "its brokers run, then start the worker again"
            )
        if not self._failed.done():
            self._failed.set_exception(error)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)


def _crash(reason: BaseException | None) -> BaseException:
    """What to fail with where Faust gave up; it goes on sleeping otherwise."""
    if isinstance(reason, (EverfreshError, KafkaError)):
        return reason
    return EverfreshError(f"reading the log failed ({reason!r}); start the worker again")


def _spans(settings: Settings, identity: LogIdentity, name: str, clock: Clock) -> FoldSpans:
    """Loads OpenTelemetry, which may not be installed where traces are off."""
    from everfresh.adapters.observe.tracing.opening import open_spans  # noqa: PLC0415
    from everfresh.streaming.fold_spans import FoldSpans  # noqa: PLC0415

    spans = open_spans(settings, "worker", name, identity.cluster)
    group = worker_group(settings.kafka.topic_prefix)
    return FoldSpans(spans, identity.topic, group, clock)


def events_topic(settings: Settings) -> str:
    """The events topic's full name."""
    return topic_name(settings.kafka.topic_prefix, EVENTS)

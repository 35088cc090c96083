"""The stream worker: Faust hosts membership, fetching and commits; the fold does the rest.

For every fetch, in this order:

1. records below the applied offset are skipped (law 2);
2. the others are folded into a segment, dead letters put into the outbox;
3. one fsynced write batch holds segment, offset, open slice and outbox;
4. the fetch is acknowledged, and Faust commits its offset for monitoring;
5. the courier makes the parts of closed slices, between fetches, and delivers the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.types import TP

from everfresh.contracts.errors import EverfreshError, LogMismatch, SettingsError, Unreachable
from everfresh.contracts.ports import Clock, ReportSink
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.fold.write_batch import Changes
from everfresh.streaming.join.exposure_reader import ExposureReader
from everfresh.streaming.log.faust_app import faust_app
from everfresh.streaming.log.fetch_transport import (
    Fetch,
    FetchConsumer,
    FetchSchema,
    FetchTransport,
)
from everfresh.streaming.log.identity import LogIdentity
from everfresh.streaming.log.log_watch import LogWatch
from everfresh.streaming.log.probe import KafkaOutlet, LogProbe
from everfresh.streaming.metrics import WorkerMetrics, restore_left
from everfresh.streaming.ownership import Owned, Ownership
from everfresh.streaming.state.snapshots import SnapshotTaker
from everfresh.streaming.status import RUNNING, STOPPED, WorkerFigures, restore_words

_TICK_SECONDS = 0.05
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
        servers = settings.kafka.bootstrap_servers
        self._settings = settings
        self._identity = identity
        self._sink = sink
        self._clock = clock
        self._name = name
        self._scraped = ""
        self._figures = WorkerFigures(name, clock())
        self._metrics = WorkerMetrics()
        self._probe = LogProbe(servers, identity)
        self._outlet = KafkaOutlet(servers, settings.kafka.topic_prefix)
        self._watch = LogWatch(self._probe, self._outlet, clock)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exposures: ExposureReader | None = None
        if settings.joins.horizon_s:
            self._exposures = ExposureReader(settings, self._watch.broker_ms, self._note)
        self._ownership = Ownership(
            settings, identity, self._probe, self._outlet, self._exposures, self._fail
        )
        self._ownership.wrote = self._metrics.write.observe
        self._ownership.settled = self._note
        self._owned = self._ownership.owned
        self._snapshots = SnapshotTaker(settings.state, self._ownership.snapshots, clock)
        figures = (self._ownership.restores, self._snapshots.figures)
        self._metrics.watch(self._owned, *figures, clock)
        self._app = faust_app(settings, name)
        self._app.transport = FetchTransport(
            self._app.conf.broker_consumer,
            self._app,
            identity.topic,
            self._ownership.resume,
            self._ownership.release,
        )
        topic = self._app.topic(identity.topic, schema=FetchSchema())
        self._app.agent(topic)(self._work)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then leave in order; raises what made work impossible."""
        await self._probe.start()
        await self._outlet.start()
        door = self._metrics.door
        self._scraped = door.open(self._settings.metrics, self._name, self._settings.home)
        loops = [self._tick(), self._report(), self._watch.run(), self._snapshots.run(self._owned)]
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
        for doomed in (*tasks, stopping, starting):
            doomed.cancel()
        await self._leave()
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
        if owned is None or await self._skips(owned, fetch):
            return
        await owned.courier.room()
        if self._owned.get(fetch.partition) is not owned:
            return  # given back meanwhile; its next owner reads on where the state ends
        if fetch.records[0].timestamp_type != _APPEND_TIME:
            raise SettingsError(
                f"records of {self._identity.topic} carry the producer's time; windows need the "
                "broker's: set message.timestamp.type=LogAppendTime on the topic"
            )
        began = time.perf_counter()
        changes = owned.partition.apply(fetch.records)
        self._metrics.folded(len(fetch.records), changes, time.perf_counter() - began)
        self._figures.note(changes)
        if changes.parcels or owned.partition.settling:
            owned.courier.wake()

    async def _skips(self, owned: Owned, fetch: Fetch) -> bool:
        """Whether the fetch begins later than the state ends, although records lie between.

        Reading went ahead of the state (a poll dropped in a rebalance), or the log has a hole, and
        only the log can tell. Where there are records, reading is sent back. A hole that retention
        made is an error, one of transaction markers or compaction is none.
        """
        number, applied, first = fetch.partition, owned.partition.applied, fetch.records[0].offset
        if first < applied:
            await self._verify()  # reading went back: perhaps in another log
        if first <= applied:
            return False
        try:
            start = (await self._probe.starts([number]))[number]
            following = await self._probe.following(number, applied)
        except (KafkaError, Unreachable):
            start, following = applied, None  # asked again when the fetch comes again
        if start > applied:
            raise LogMismatch(
                f"partition {number} of {self._identity.topic} now begins at {start}, "
                f"the state reaches {applied}: retention removed records that were never applied; "
                "keep the log longer, then delete the state directory to rebuild it"
            )
        if following is not None and following >= first:
            return False
        await self._consumer().seek_wait({TP(self._identity.topic, number): applied})
        return True

    async def _verify(self) -> None:
        with contextlib.suppress(Unreachable):
            await self._probe.verify()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self._app.crashed:
                raise _crash(self._app.crash_reason)
            now_ms, grace = self._watch.broker_ms(), self._settings.windows.grace_ms
            if now_ms is None:
                continue
            owed = {
                number: label
                for number, owned in self._owned.items()
                if (label := owned.partition.owes(now_ms, grace)) is not None
            }
            if owed:
                with contextlib.suppress(KafkaError):
                    await self._close_idle(owed)

    async def _close_idle(self, owed: dict[int, int]) -> None:
        # The end is asked for after the period is over: nothing of that period can come later.
        ends = await self._probe.ends(owed)
        for number, label in owed.items():
            owned = self._owned.get(number)
            if owned is None:
                continue
            applied = owned.partition.applied
            if applied < ends[number] and await self._reached(number, applied) < ends[number]:
                continue
            if self._owned.get(number) is owned:
                self._note(owned.partition.close_until(label))
                owned.courier.wake()

    async def _reached(self, number: int, applied: int) -> int:
        """The offset up to which nothing is left to apply: behind the state may lie markers."""
        consumer = self._consumer()
        if number not in consumer.sought:
            return applied
        position = await consumer.position(TP(self._identity.topic, number))
        # Asked for after the position: what was taken up to it may still be on its way to the fold.
        taken = consumer.taken_end.get(number, 0)
        if number not in consumer.sought or position is None or applied < taken:
            return applied
        return max(applied, position)

    async def _report(self) -> None:
        while True:
            lag: int | str = "unknown"
            with contextlib.suppress(KafkaError):
                lag = await self._lag()
            self._metrics.lag = float("nan") if lag == "unknown" else float(lag)
            self._say(RUNNING, lag=lag)
            await asyncio.sleep(_STATUS_SECONDS)

    async def _lag(self) -> int:
        """Records of all partitions that are not applied yet; ``LogMismatch`` where a log ends
        before its state."""
        # Read before asking for the ends: meanwhile the state may rightly pass them.
        applied = {number: one.partition.applied for number, one in self._owned.items()}
        ends = await self._probe.ends(list(applied))
        lag = 0
        for number, end in ends.items():
            if end < applied[number]:
                raise LogMismatch(
                    f"partition {number} of {self._identity.topic} ends at {end}, the state "
                    f"reaches {applied[number]}: the topic was recreated or cut; use another home, "
                    "or delete the state directory to rebuild it from the log"
                )
            if applied[number] < end:
                lag += max(0, end - await self._reached(number, applied[number]))
        return lag

    def _say(self, state: str, **more: Any) -> None:
        self._sink.status(
            self._figures.status(
                self._clock(),
                state,
                partitions=len(self._owned),
                clock_ahead_ms=self._watch.ahead_ms,
                undelivered=sum(owned.partition.waiting for owned in self._owned.values()),
                metrics=self._scraped,
                **restore_words(self._ownership.restores, restore_left(self._owned)),
                **more,
            )
        )

    async def _leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._app.stop(), _STOP_SECONDS)
        await self._ownership.release_all()
        self._say(STOPPED)
        for client in (self._outlet, self._probe, self._exposures):
            if client is not None:
                await client.stop()
        self._metrics.door.close()

    def _note(self, changes: Changes) -> None:
        self._figures.note(changes)
        self._metrics.note(changes)

    def _consumer(self) -> FetchConsumer:
        return cast(FetchConsumer, self._app.consumer)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, KafkaError):
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


def events_topic(settings: Settings) -> str:
    """The events topic's full name."""
    return topic_name(settings.kafka.topic_prefix, EVENTS)

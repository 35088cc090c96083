"""The follower's process: it reads the events topic without a group, and keeps standbys of it.

For every fetch, in this order:

1. records below the applied offset are skipped (law 2);
2. the others are folded into a segment, and written as one with the offset they reach;
3. some of a full stretch's events are settled, between fetches;
4. the freshness mark of the partition is set once all that the log held a moment ago is applied.

While the brokers are away it waits, and the marks grow old: replicas tell how old.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnsupportedCodecError
from aiokafka.structs import TopicPartition

from everfresh.adapters.state.freshness import FreshnessMarks
from everfresh.contracts.errors import MissingDependency, SettingsError, SnapshotError, Unreachable
from everfresh.contracts.ports import Clock, ReportSink
from everfresh.contracts.settings import Settings
from everfresh.streaming.catch_up import CatchUp
from everfresh.streaming.follower.metrics import FollowerFigures
from everfresh.streaming.follower.opening import Standbys, progress
from everfresh.streaming.follower.standby import Standby
from everfresh.streaming.log.clients import start_client
from everfresh.streaming.log.fetch_transport import take_bare_records
from everfresh.streaming.log.identity import LogIdentity
from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.log.security import aiokafka_options
from everfresh.streaming.status import RUNNING, STOPPED

_FETCH_WAIT_MS = 250  # at most so long brokers wait for records; then they say where the log ends
_POLL_MS = 200
_REST_S = 0.02
_MARK_MS = 200  # between two marks of a partition, at least
_AT_ONCE = 20_000  # records of one poll
_STEPS = 4  # of settling between two polls, some milliseconds each
_OPENED_AT_ONCE = 2
_LOOK_S = 1.0
_RETRY_S, _LONGEST_RETRY_S = 5.0, 60.0
_COMPARE_S = 60.0
Say = Callable[[str], None]
"""Called with a line for whoever waits, while not all partitions are here, and once they are."""

_log = logging.getLogger("everfresh.streaming")


class Follower:
    """One process. Build and run it inside a running event loop."""

    def __init__(
        self,
        settings: Settings,
        identity: LogIdentity,
        name: str,
        sink: ReportSink,
        clock: Clock,
        say: Say = lambda line: None,
    ) -> None:
        """``SettingsError`` where a partition is to be followed that the topic does not have."""
        self._brokers = settings.kafka.brokers
        self._topic = identity.topic
        self._sink = sink
        self._clock = clock
        self._say = say
        self._said = ""
        self._waits: dict[int, str] = {}
        self._figures = FollowerFigures(name)
        self._wanted = wanted_partitions(settings, identity)
        self._standbys = Standbys(settings)
        self._marks = FreshnessMarks(settings.state_dir, identity.topic)
        self._probe = LogProbe(self._brokers, identity)
        self._open: dict[int, Standby] = {}
        self._catch_up = {number: CatchUp() for number in self._wanted}
        self._assigned: set[int] = set()
        self._differs = ""
        self._marked: dict[int, int] = {}
        self._opening = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._consumer = AIOKafkaConsumer(
            **aiokafka_options(self._brokers),
            client_id="everfresh-follower",
            group_id=None,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until ``stop`` is set; raises what made it impossible."""
        await self._probe.start()
        await start_client(self._consumer, self._brokers)
        take_bare_records(self._consumer, self._topic)
        for number in self._wanted:
            self._begin(self._open_standby(number))
        self._begin(self._follow())
        self._begin(self._watch())
        self._begin(self._compare())
        stopping = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopping, self._failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self._shut_down()
        if self._failed.done():
            self._failed.result()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(_as_known(error, self._topic))

    async def _open_standby(self, number: int) -> None:
        """Open one partition, however long its snapshot or the brokers let it wait."""
        said, pause_s = "", _RETRY_S
        while True:
            try:
                async with self._opening:
                    place = (await self._probe.places([number]))[number]
                    self._open[number] = await asyncio.to_thread(self._standbys.open, place)
            except (Unreachable, KafkaError, SnapshotError) as error:
                self._waits[number] = str(error)
                if str(error) != said:
                    said = str(error)
                    _log.warning("partition %d waits: %s", number, said)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
            else:
                self._waits.pop(number, None)
                applied = self._open[number].applied
                _log.info("partition %d: state reaches %d of %d", number, applied, place.end)
                self._tell()
                return

    async def _follow(self) -> None:
        while True:
            self._assign()
            if not self._assigned:
                await asyncio.sleep(_POLL_MS / 1000)
                continue
            try:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            except OffsetOutOfRangeError as error:
                self._reopen(error.args[0])
                continue
            except KafkaError as error:
                if isinstance(error, UnsupportedCodecError):
                    raise
                _log.warning("%s cannot be read, trying again: %s", self._topic, error)
                await asyncio.sleep(_LOOK_S)
                continue
            for place, records in fetched.items():
                if records:
                    self._figures.note(self._open[place.partition].apply(records))
            await self._settle(busy=bool(fetched))
            await self._mark()
            # What comes meanwhile is folded at once, which costs far less than one by one.
            await asyncio.sleep(_REST_S)

    def _assign(self) -> None:
        """Read what is open, each partition from where its state ends."""
        if self._assigned == set(self._open):
            return
        self._assigned = set(self._open)
        self._consumer.assign([TopicPartition(self._topic, number) for number in self._assigned])
        for number in self._assigned:
            place = TopicPartition(self._topic, number)
            self._consumer.seek(place, self._open[number].applied)

    def _reopen(self, positions: Mapping[TopicPartition, int]) -> None:
        """The log does not hold what comes next: opening finds out why, and what to do."""
        for place in positions:
            _log.warning("partition %d: the log does not hold what comes next", place.partition)
            self._open.pop(place.partition).close()
            self._begin(self._open_standby(place.partition))

    async def _settle(self, *, busy: bool) -> None:
        """Some steps for each partition while records come, all that is left otherwise."""
        for standby in list(self._open.values()):
            steps = 0
            while standby.settling and not (busy and steps == _STEPS):
                standby.settle()
                steps += 1
                await asyncio.sleep(0)

    async def _mark(self) -> None:
        for number in self._assigned & set(self._open):
            place = TopicPartition(self._topic, number)
            catch_up = self._catch_up[number]
            # Where readers of whole transactions come to; and when a broker said so last.
            end = self._consumer.last_stable_offset(place)
            asked_ms = self._consumer.last_poll_timestamp(place)
            if end is None or end < 0 or not asked_ms:
                continue
            catch_up.note_end(end, asked_ms)
            position = await self._consumer.position(place)
            fresh_ms = catch_up.note_reached(position)
            if fresh_ms is not None and abs(fresh_ms - self._marked.get(number, 0)) >= _MARK_MS:
                self._marks.set(number, fresh_ms)
                self._marked[number] = fresh_ms

    async def _watch(self) -> None:
        """Once a second: is it still the same log, and how are we.

        ``LogMismatch`` where it is not.
        """
        while True:
            lag: int | None = None
            with contextlib.suppress(Unreachable, KafkaError):
                await self._probe.verify()
                lag = await self._lag()
            self._send_status(RUNNING, lag)
            self._tell()
            await asyncio.sleep(_LOOK_S)

    async def _compare(self) -> None:
        """Now and then: does the worker still fold by the settings that we fold by."""
        while True:
            await asyncio.sleep(_COMPARE_S)
            said = await asyncio.to_thread(self._standbys.difference, self._wanted[0])
            if said and said != self._differs:
                _log.warning("the worker's newest snapshot differs: %s", said)
            self._differs = said

    async def _lag(self) -> int:
        assigned = self._assigned & set(self._open)
        positions = {
            number: await self._consumer.position(TopicPartition(self._topic, number))
            for number in assigned
        }
        ends = await self._probe.ends(positions)
        return sum(max(0, ends[number] - positions[number]) for number in positions)

    def _tell(self) -> None:
        left = {n: each.bytes_left for n, each in list(self._standbys.restores.items())}
        # While it is tried again, the cause stands, so that what is said does not flicker.
        waits = {n: why for n, why in self._waits.items() if not left.get(n)}
        line = progress(len(self._open), len(self._wanted), sum(left.values()), waits)
        if line != self._said:
            self._said = line
            self._say(line)

    def _send_status(self, state: str, lag: int | None = None) -> None:
        restores = list(self._standbys.restores.values())
        fresh = [catch_up.fresh_ms for catch_up in self._catch_up.values()]
        known = [moment for moment in fresh if moment is not None]
        age_ms = self._clock() - min(known) if len(known) == len(fresh) else None
        status = self._figures.status(
            self._clock(),
            state,
            partitions=len(self._open),
            wanted=len(self._wanted),
            lag=lag,
            state_age_ms=age_ms,
            bytes_left=sum(each.bytes_left for each in restores),
            from_snapshot=sum(each.from_snapshot for each in restores),
            from_log=sum(each.from_log for each in restores),
            differs=self._differs,
            snapshots_refused=sum(each.refused.total() for each in restores),
        )
        self._sink.status(status)

    async def _shut_down(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        # A restore in a thread is not stopped; what it leaves is a draft.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for standby in self._open.values():
            standby.close()
        self._send_status(STOPPED)
        await self._consumer.stop()
        await self._probe.stop()


def wanted_partitions(settings: Settings, identity: LogIdentity) -> list[int]:
    """The partitions to follow; ``SettingsError`` where the topic lacks one."""
    wanted = sorted(set(settings.follower.partitions)) or list(range(identity.partitions))
    if wanted[-1] >= identity.partitions:
        raise SettingsError(
            f"follower.partitions names {wanted[-1]}, and {identity.topic} has the partitions 0 to "
            f"{identity.partitions - 1}; name some of these, or none to follow all"
        )
    return wanted


def _as_known(error: BaseException, topic: str) -> BaseException:
    if isinstance(error, UnsupportedCodecError):
        return MissingDependency(
            f"records of {topic} are compressed and cannot be read here: {error}; install cramjam, "
            "which the extra stream brings"
        )
    return error

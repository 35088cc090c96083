"""The follower's loop over a log in memory: what it reads, marks, waits for, and ends with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from everfresh.adapters.memory import MemoryReportSink
from everfresh.adapters.state.freshness import fresh_until_ms, mark_of
from everfresh.contracts.errors import LogMismatch, SettingsError, StateError
from everfresh.contracts.settings import Settings
from everfresh.streaming.follower import follower as module
from everfresh.streaming.follower.follower import Follower, wanted_partitions
from everfresh.streaming.follower.standby import Standby
from everfresh.streaming.log.identity import LogIdentity, LogPlace
from tests.streaming.sample_log import ACTIONS, TOPIC, LogRecord, rules
from tests.streaming.worker_disk import LOG, Machine

RULES = rules(remember_ids=50)
NOW = 1_700_000_000_000
_LIMIT_S = 240.0  # for what never comes


class KafkaInMemory:
    """A topic, and both clients of a follower. ``start`` is what retention has left."""

    def __init__(self, partitions: int) -> None:
        self.records: dict[int, list[LogRecord]] = {number: [] for number in range(partitions)}
        self.start = dict.fromkeys(self.records, 0)
        self.recreated = False
        self.asked: list[int] = []
        self._positions: dict[TopicPartition, int] = {}

    def identity(self) -> LogIdentity:
        return LogIdentity("cluster", TOPIC, "id", len(self.records))

    # The probe.

    async def verify(self) -> None:
        if self.recreated:
            raise LogMismatch("t.events was recreated")

    async def places(self, numbers: Sequence[int]) -> dict[int, LogPlace]:
        self.asked += numbers
        log, ends = self.identity(), await self.ends(numbers)
        return {
            n: LogPlace("cluster", TOPIC, "id", n, self.start[n], ends[n], log.partitions)
            for n in numbers
        }

    async def ends(self, numbers: Sequence[int]) -> dict[int, int]:
        return {number: len(self.records[number]) for number in numbers}

    # The consumer.

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(places, -1)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._positions[place] = offset

    async def getmany(self, **_: int) -> dict[TopicPartition, list[LogRecord]]:
        await asyncio.sleep(0.001)
        found = {}
        for place, position in self._positions.items():
            if not self.start[place.partition] <= position <= len(self.records[place.partition]):
                raise OffsetOutOfRangeError({place: position})
            found[place] = self.records[place.partition][position : position + 40]
            self._positions[place] += len(found[place])
        return found

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]

    def last_stable_offset(self, place: TopicPartition) -> int:
        return len(self.records[place.partition])

    def last_poll_timestamp(self, place: TopicPartition) -> int:
        del place
        return NOW

    async def start_(self) -> None:
        """Nothing to connect."""

    async def stop(self) -> None:
        """Nothing to disconnect."""


class Home:
    """A follower's home, the worker's machine beside it, and the log of both."""

    def __init__(
        self, root: Path, make_settings: Callable[..., Settings], patch: pytest.MonkeyPatch
    ) -> None:
        self.worker = Machine(root / "worker")
        self._root, self._make = root, make_settings
        self.kafka = KafkaInMemory(1)
        self.said: list[str] = []
        self.sink = MemoryReportSink()

        async def connected(*_: object) -> None:
            """Nothing to connect."""

        patch.setattr(module, "AIOKafkaConsumer", lambda **_: self.kafka)
        patch.setattr(module, "LogProbe", lambda *_: _Started(self.kafka))
        patch.setattr(module, "start_client", connected)
        patch.setattr(module, "take_bare_records", lambda *_: None)
        patch.setattr(module, "_RETRY_S", 0.02)
        patch.setattr(module, "_LOOK_S", 0.01)

    def settings(self, *partitions: int) -> Settings:
        return self._make(
            home=self._root / "there",
            kafka={"topic_prefix": "t."},
            events={"actions": ACTIONS, "remember_ids": RULES.remember_ids},
            windows={"stretch_events": RULES.stretch_events, "max_targets": 4, "part_bytes": 1024},
            follower={"partitions": list(partitions)},
            state={
                "history_length": RULES.history_length,
                "snapshot_url": str(self._root / "worker" / "snapshots"),
            },
        )

    def run(self, then: Callable[[Follower], Coroutine[Any, Any, None]]) -> None:
        """Run a follower, and ``then`` beside it; whichever ends it."""

        async def both() -> None:
            settings = self.settings()
            identity = self.kafka.identity()
            follower = Follower(settings, identity, "f", self.sink, lambda: NOW, self.said.append)
            stop = asyncio.Event()
            running = asyncio.create_task(follower.run(stop))
            beside = asyncio.create_task(then(follower))
            await asyncio.wait([running, beside], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await running
            await beside

        asyncio.run(both())

    def mark(self, number: int) -> int | None:
        return fresh_until_ms(mark_of(self.settings().state_dir, TOPIC, number))


class _Started:
    """The log as its probe, which is started and stopped."""

    def __init__(self, kafka: KafkaInMemory) -> None:
        self._kafka = kafka

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kafka, "start_" if name == "start" else name)


@pytest.fixture
def home(
    tmp_path: Path, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Home:
    return Home(tmp_path, make_settings, monkeypatch)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while not what():
            await asyncio.sleep(0.001)


def reaches(follower: Follower, number: int, offset: int) -> Callable[[], bool]:
    return lambda: number in follower._open and follower._open[number].applied == offset


def test_it_folds_what_is_there_and_what_comes_and_marks_how_fresh_that_is(home: Home) -> None:
    home.kafka.records[0] = LOG[:300]

    async def then(follower: Follower) -> None:
        await until(reaches(follower, 0, 300))
        await until(lambda: home.mark(0) == NOW)
        home.kafka.records[0] = LOG[:500]
        await until(reaches(follower, 0, 500))
        await until(lambda: home.sink.statuses[-1].figures["lag"] == 0)

    home.run(then)
    assert home.said[-1] == "the state of all partitions is here"
    last = home.sink.statuses[-1]
    assert (last.kind, last.state, last.figures["partitions"]) == ("follower", "stopped", 1)


def test_retention_that_overtakes_it_has_a_snapshot_take_its_states_place(home: Home) -> None:
    home.kafka.records[0] = LOG[:300]

    async def then(follower: Follower) -> None:
        await until(reaches(follower, 0, 300))
        home.worker.start(RULES)
        home.worker.apply(LOG[:600])
        home.worker.snapshot()
        home.kafka.records[0], home.kafka.start[0] = LOG[:700], 500
        await until(reaches(follower, 0, 700))

    home.run(then)
    assert home.sink.statuses[-1].figures["from_snapshot"] == 1


def test_one_partition_that_waits_for_a_snapshot_holds_no_other_up(home: Home) -> None:
    home.kafka = KafkaInMemory(2)
    home.kafka.start[1] = 10
    home.kafka.records[1] = LOG[:20]
    home.kafka.records[0] = LOG[:100]

    async def then(follower: Follower) -> None:
        await until(reaches(follower, 0, 100))
        await until(lambda: home.mark(0) == NOW)
        await until(lambda: "waits" in home.said[-1])
        tried = home.kafka.asked.count(1)
        await until(lambda: home.kafka.asked.count(1) > tried + 3)

    home.run(then)
    said = [line for line in home.said if "1 of 2" in line]
    (last,) = [line for line in said if "waits" in line]
    assert last == said[-1]
    assert "is here; partition 1 waits: missing: no snapshot of partition 1 can be used" in last
    assert "and its log begins at 10; see that the stream worker writes them" in last
    figures = home.sink.statuses[-1].figures
    assert (figures["partitions"], figures["wanted"], figures["state_age_ms"]) == (1, 2, None)


def test_a_topic_made_anew_while_it_runs_ends_it(home: Home) -> None:
    async def then(follower: Follower) -> None:
        await until(reaches(follower, 0, 0))
        home.kafka.recreated = True
        await asyncio.wait([follower._failed])

    with pytest.raises(LogMismatch, match="was recreated"):
        home.run(then)


def test_a_log_that_is_cut_below_its_state_ends_it(home: Home) -> None:
    home.kafka.records[0] = LOG[:300]

    async def then(follower: Follower) -> None:
        await until(reaches(follower, 0, 300))
        home.kafka.records[0] = LOG[:200]
        await asyncio.wait([follower._failed])

    with pytest.raises(LogMismatch, match="the log ends at 200: the log was cut"):
        home.run(then)


def test_a_disk_that_takes_nothing_ends_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StateError("make room on that disk")

    monkeypatch.setattr(Standby, "apply", full)
    home.kafka.records[0] = LOG[:10]

    async def then(follower: Follower) -> None:
        await asyncio.wait([follower._failed])

    with pytest.raises(StateError, match="make room"):
        home.run(then)


def test_a_partition_that_the_topic_lacks_is_refused(home: Home) -> None:
    identity = LogIdentity("cluster", TOPIC, "id", 4)
    assert wanted_partitions(home.settings(), identity) == [0, 1, 2, 3]
    assert wanted_partitions(home.settings(3, 1), identity) == [1, 3]
    with pytest.raises(SettingsError, match=r"names 4, and t.events has the partitions 0 to 3"):
        wanted_partitions(home.settings(1, 4), identity)

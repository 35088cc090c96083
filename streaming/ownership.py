"""Opens the partitions that are assigned to this worker, and gives back those that are revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from everfresh.adapters.state.snapshots import SnapshotStore
from everfresh.contracts.errors import EverfreshError, SnapshotError, StateLocked, Unreachable
from everfresh.contracts.sequence import META_KEY
from everfresh.contracts.settings import Settings
from everfresh.streaming.fold.opening import mark_restored
from everfresh.streaming.fold.rules import fold_rules
from everfresh.streaming.join.exposure_reader import ExposureReader
from everfresh.streaming.log.identity import LogIdentity, LogPlace
from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.outbox.delivery import OutboxDelivery, RecordSender
from everfresh.streaming.outbox.pacer import StepPacer
from everfresh.streaming.owned_partition import OwnedPartition
from everfresh.streaming.partition import open_partition
from everfresh.streaming.state.restore import RestoreFigures, begin_anew, origin_of, restore
from everfresh.streaming.state.store import RocksStore, block_cache
from everfresh.streaming.state.write_batch import WriteBatch

_LOCK_SECONDS = 20.0  # how long another worker on this machine may take to let a partition go
_DRAIN_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_REACH_SECONDS, _REACH_AGAIN_SECONDS = 60.0, 5.0
"""How long snapshots that cannot be reached are waited for, where the log alone will not do."""
_log = logging.getLogger("everfresh.streaming")


class Ownership:
    """Opens and closes partitions, one rebalance at a time.

    ``fail`` is called with an error that makes further work impossible, ``on_write`` with the
    seconds that each durable write took, ``on_part`` with what each step of closing slices wrote.
    """

    def __init__(
        self,
        settings: Settings,
        identity: LogIdentity,
        probe: LogProbe,
        sender: RecordSender,
        exposures: ExposureReader | None,
        fail: Callable[[BaseException], None],
    ) -> None:
        """``exposures`` is ``None`` where they are not joined with feedback."""
        self._settings = settings
        self._identity = identity
        self._rules = fold_rules(settings)
        self._probe = probe
        self._sender = sender
        self._exposures = exposures
        self._fail = fail
        self._cache = block_cache(settings.state.block_cache_mb)
        self._rebalance = asyncio.Lock()
        self._pacer = StepPacer()
        self._leaving = False
        self.owned: dict[int, OwnedPartition] = {}
        self.restores = RestoreFigures()
        self.on_write: Callable[[float], None] = lambda seconds: None
        self.on_part: Callable[[WriteBatch], None] = lambda batch: None

    async def resume(self, partitions: set[int]) -> Mapping[int, int]:
        """Own exactly these; the offsets that their states have reached say where to read on."""
        async with self._rebalance:
            if self._leaving:
                return {}
            try:
                await self._close(set(self.owned) - partitions)
                await self._open_all(sorted(partitions - set(self.owned)))
            except Exception as error:
                self._fail(error)
                raise
            return {number: owned.applied for number, owned in self.owned.items()}

    async def release(self, partitions: set[int]) -> None:
        """Close these; what the outbox still holds is delivered by the next owner."""
        async with self._rebalance:
            await self._close(partitions)

    async def release_all(self) -> None:
        """Close everything; nothing is opened any more."""
        self._leaving = True
        async with self._rebalance:
            await self._close(set(self.owned))

    async def _close(self, partitions: set[int]) -> None:
        leaving = [self.owned.pop(number) for number in partitions & set(self.owned)]
        await asyncio.gather(*(owned.delivery.drain(_DRAIN_SECONDS) for owned in leaving))
        for owned in leaving:
            owned.delivery_task.remove_done_callback(self._report_failure)
            owned.delivery_task.cancel()
            # What ended it early was reported already; the other partitions are closed as well.
            await asyncio.gather(owned.delivery_task, return_exceptions=True)
            owned.partition.close()

    async def _open_all(self, numbers: list[int]) -> None:
        if not numbers:
            return
        events, exposures = await self._places(numbers)
        for number in numbers:
            self.owned[number] = await self._open(events[number], exposures.get(number))

    async def _places(self, numbers: list[int]) -> tuple[dict[int, LogPlace], dict[int, LogPlace]]:
        """Where the partitions begin and end, of the same topics as ever; waits out an outage."""
        while True:
            try:
                events = await self._probe.places(numbers)
                if self._exposures is None:
                    return events, {}
                return events, await self._exposures.probe.places(numbers)
            except (Unreachable, KafkaError) as error:
                if self._leaving:
                    raise
                _log.warning("the log cannot be asked where it ends, trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _open(self, place: LogPlace, exposures: LogPlace | None) -> OwnedPartition:
        number, end = place.partition, place.end
        store = await self._store(number)
        lost = store.get(META_KEY) is None
        if lost:
            store.close()
            await self._bring_back(place, exposures)
            store = await self._store(number)
        try:
            partition = open_partition(store, place, self._rules, exposures)
        except EverfreshError:
            store.close()
            raise
        _log.info("partition %d: state reaches %d of %d", number, partition.applied, end)
        limit_bytes = self._settings.state.outbox_mb * 1024 * 1024
        delivery = OutboxDelivery(
            partition.outbox, partition, self._sender, self._pacer, limit_bytes, self.on_part
        )
        task = asyncio.create_task(delivery.run())
        task.add_done_callback(self._report_failure)
        target = end if lost else 0
        return OwnedPartition(partition, store, origin_of(place), delivery, task, target)

    async def _bring_back(self, place: LogPlace, exposures: LogPlace | None) -> None:
        """See :meth:`_restore`; an outage of the store of snapshots is waited out for a while."""
        until = asyncio.get_running_loop().time() + _REACH_SECONDS
        while True:
            try:
                return await _finish(asyncio.to_thread(self._restore, place, exposures))
            except SnapshotError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_REACH_AGAIN_SECONDS)

    def _restore(self, place: LogPlace, exposures: LogPlace | None) -> None:
        """In a thread: the state comes back from a snapshot, or may begin with the log."""
        store = self.snapshots(place.partition)
        path, figures = self._path(place.partition), self.restores

        def check(draft: Path) -> None:
            opened = self._opened(draft)
            try:
                open_partition(opened, place, self._rules, exposures)
                mark_restored(opened, place)
            finally:
                opened.close()

        unreachable = figures.refused["unreachable"]
        if restore(path, place, store, check, figures) is None:
            reached = figures.refused["unreachable"] == unreachable
            accepted = self._settings.state.accept_truncated_log
            begin_anew(place, accepted, figures, reached=reached)

    def snapshots(self, number: int) -> SnapshotStore:
        """The snapshots of a partition."""
        return SnapshotStore(self._settings.snapshots_url, self._identity.topic, number)

    def _path(self, number: int) -> Path:
        return self._settings.state_dir / f"{self._identity.topic}-{number}"

    def _opened(self, path: Path) -> RocksStore:
        megabytes = self._settings.state.write_buffer_mb
        return RocksStore(path, self._cache, megabytes, self.on_write)

    async def _store(self, number: int) -> RocksStore:
        path = self._path(number)
        until = asyncio.get_running_loop().time() + _LOCK_SECONDS
        while True:
            try:
                return self._opened(path)
            except StateLocked:
                # After a rebalance the former owner may still be closing it.
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.1)

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await it; when cancelled, which no thread notices, only after it is done.

    A rebalance cancels what opens partitions, and the next one would restore the same beside it.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise

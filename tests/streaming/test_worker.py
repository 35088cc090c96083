"""What ends a worker, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from everfresh.adapters.machine.home_identity import home_place
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.streaming.log.identity import LogIdentity
from everfresh.streaming.status import RUNNING
from everfresh.streaming.worker import StreamWorker

NOWHERE = {"bootstrap_servers": "127.0.0.1:1"}


def test_where_faust_gave_up_the_worker_fails(make_settings: Callable[..., Settings]) -> None:
    async def run() -> None:
        settings = make_settings(kafka=NOWHERE, joins={"horizon_s": 0})
        identity, sink = LogIdentity("c", "t.events", "id", 4), cast(Any, None)
        worker = StreamWorker(settings, identity, "w", sink, lambda: 0)
        await worker._app.crash(RuntimeError("the fetcher is gone"))
        try:
            with pytest.raises(EverfreshError, match="the fetcher is gone"):
                await asyncio.wait_for(worker._watch_partitions(), 5.0)
        finally:
            await worker._sender.stop()
            await worker._probe.stop()

    asyncio.run(run())


class Sink:
    """Keeps what is said of the worker."""

    def __init__(self) -> None:
        self.said: list[ComponentStatus] = []

    def status(self, record: ComponentStatus) -> None:
        self.said.append(record)


def test_a_worker_names_its_home(make_settings: Callable[..., Settings]) -> None:
    async def run() -> None:
        settings = make_settings(kafka=NOWHERE, joins={"horizon_s": 0})
        identity, sink = LogIdentity("c", "t.events", "id", 4), Sink()
        worker = StreamWorker(settings, identity, "w", cast(Any, sink), lambda: 0)
        try:
            worker._send_status(RUNNING)
        finally:
            await worker._sender.stop()
            await worker._probe.stop()
        assert [each.place for each in sink.said] == [home_place(settings.home.resolve())]

    asyncio.run(run())

"""The time limits of the Faust app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from everfresh.contracts.settings import Settings
from everfresh.streaming.log.faust_app import faust_app

NOWHERE = {"bootstrap_servers": "127.0.0.1:1"}


def test_opening_partitions_and_waiting_for_the_outbox_may_take_hours(
    make_settings: Callable[..., Settings],
) -> None:
    async def run() -> None:
        conf = faust_app(make_settings(kafka=NOWHERE), "w").conf
        # How long Faust's recovery waits for the seek, and how long aiokafka stays without a poll.
        assert min(conf.broker_request_timeout, conf.broker_max_poll_interval) > 24 * 3600

    asyncio.run(run())

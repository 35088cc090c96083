"""Watches the log once a second: is the topic still the same, and what time is it at the broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiokafka.errors import KafkaError

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.ports import Clock
from everfresh.streaming.log.broker_time import BrokerTime
from everfresh.streaming.log.probe import LogProbe
from everfresh.streaming.log.sender import KafkaSender

_SECONDS = 1.0
_ALARM_MS = 1_000
_log = logging.getLogger("everfresh.streaming")


class LogWatch:
    """One per worker. ``clock`` is this machine's: it is compared and never relied on."""

    def __init__(self, probe: LogProbe, sender: KafkaSender, clock: Clock) -> None:
        self._probe = probe
        self._sender = sender
        self._clock = clock
        self._time = BrokerTime()
        self.ahead_ms = 0
        """How far this machine's clock is ahead of the broker's; negative where it is behind."""

    def broker_ms(self) -> int | None:
        """See :meth:`BrokerTime.now`."""
        return self._time.now(_ticks_ms())

    async def run(self) -> None:
        """Runs until cancelled; waits while the broker is away.

        ``LogMismatch`` where the topic is no longer the one that the worker began with.
        """
        while True:
            with contextlib.suppress(Unreachable, KafkaError):
                await self._probe.verify()
                broker_ms = await self._sender.broker_time_ms()
                self._time.note(broker_ms, _ticks_ms())
                self._compare(self._clock() - broker_ms)
            await asyncio.sleep(_SECONDS)

    def _compare(self, ahead_ms: int) -> None:
        if abs(ahead_ms) >= _ALARM_MS > abs(self.ahead_ms):
            _log.warning(
                "this machine's clock is %+d ms off the broker's; windows follow the broker's, "
                "times in status and events of this machine do not: check its time service",
                ahead_ms,
            )
        self.ahead_ms = ahead_ms


def _ticks_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)

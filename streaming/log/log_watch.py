"""Looks at the log itself, beside the fetches: is it still the same, and what time is it there."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiokafka.errors import KafkaError

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.ports import Clock
from everfresh.streaming.log.broker_time import BrokerTime
from everfresh.streaming.log.probe import KafkaOutlet, LogProbe

_SECONDS = 1.0
_ALARM_MS = 1_000
_log = logging.getLogger("everfresh.streaming")


class LogWatch:
    """Once a second. ``clock`` is this machine's, which is compared and never relied on."""

    def __init__(self, probe: LogProbe, outlet: KafkaOutlet, clock: Clock) -> None:
        self._probe = probe
        self._outlet = outlet
        self._clock = clock
        self._time = BrokerTime()
        self.ahead_ms = 0
        """How far this machine's clock is ahead of the broker's; less than zero where behind."""

    def broker_ms(self) -> int | None:
        """See :meth:`BrokerTime.now`."""
        return self._time.now(_ticks_ms())

    async def run(self) -> None:
        """For ever. ``LogMismatch`` where the topic is no longer the one that was begun with; an
        outage is waited out."""
        while True:
            with contextlib.suppress(Unreachable, KafkaError):
                await self._probe.verify()
                stamp = await self._outlet.stamp()
                self._time.note(stamp, _ticks_ms())
                self._compare(self._clock() - stamp)
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

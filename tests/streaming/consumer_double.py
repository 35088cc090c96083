"""A fetching consumer without Kafka, which stands where its group has committed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from everfresh.streaming.log.fetch_transport import FetchConsumer


class ConsumerThread:
    """Stands in for Faust's thread: after an assignment it is where the group has committed."""

    def __init__(self, committed: dict[TP, int]) -> None:
        self.committed = committed
        self.at: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return set(self.committed)

    async def seek_to_committed(self) -> dict[TP, int]:
        self.at = dict(self.committed)
        return self.at

    async def position(self, tp: TP) -> int:
        return self.at[tp]

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.at |= positions


def consumer_at(committed: dict[TP, int], **transport: Any) -> FetchConsumer:
    made = FetchConsumer.__new__(FetchConsumer)
    made.taken_end, made.resumed, made._revoked = {}, set(), False
    made._thread = cast(Any, ConsumerThread(committed))
    made.transport = cast(Any, SimpleNamespace(topic="t", **transport))
    return made

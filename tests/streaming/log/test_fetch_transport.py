"""What is packed into one fetch, where reading resumes, and the versions that were patched."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from everfresh.streaming.log.fetch_transport import (
    AIOKAFKA_VERSION,
    FAUST_VERSION,
    concatenated,
)
from tests.streaming.consumer_double import consumer_at
from tests.streaming.sample_log import START_MS, LogRecord, accepted

ONE, OTHER = TP("t", 0), TP("t", 1)


def records(*offsets: int) -> list[LogRecord]:
    return [accepted(offset, 1, offset, START_MS) for offset in offsets]


def offsets(answer: dict[TP, list[LogRecord]], tp: TP) -> list[int]:
    return [record.offset for record in answer[tp]]


def test_what_came_in_two_answers_is_one_fetch_in_log_order() -> None:
    # A hole, as transaction markers leave it, is none of this one's business.
    together = concatenated({ONE: records(3, 4)}, {ONE: records(7, 8), OTHER: records(0)})
    assert offsets(together, ONE) == [3, 4, 7, 8]
    assert offsets(together, OTHER) == [0]


def test_where_reading_was_sent_back_between_two_answers_nothing_stands_twice() -> None:
    together = concatenated({ONE: records(3, 4, 5), OTHER: records(1)}, {ONE: records(2, 3, 4)})
    assert offsets(together, ONE) == [2, 3, 4]
    assert offsets(together, OTHER) == [1]


def test_what_was_revoked_is_not_opened_again_before_there_is_a_new_assignment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owned: set[int] = set()

    async def resume(numbers: set[int]) -> dict[int, int]:
        owned.update(numbers)
        return dict.fromkeys(numbers, 5)

    async def release(numbers: set[int]) -> None:
        owned.difference_update(numbers)

    async def faust(*words: Any) -> None:
        """Stands in for what Faust does itself."""

    async def run() -> None:
        for name in ("on_partitions_revoked", "on_partitions_assigned"):
            monkeypatch.setattr(driver.Consumer, name, faust)
        consumer = consumer_at({TP("t", 0): 5}, resume=resume, release=release)
        await consumer.seek_to_committed()
        assert owned == {0}
        await consumer.on_partitions_revoked({TP("t", 0)})
        await consumer.seek_to_committed()
        assert owned == set()
        await consumer.on_partitions_assigned({TP("t", 0)})
        await consumer.seek_to_committed()
        assert owned == {0}

    asyncio.run(run())


def test_the_patched_versions_are_those_that_were_read() -> None:
    """Where this fails, read the private parts named in ``fetch_transport`` again."""
    assert version("faust-streaming") == FAUST_VERSION
    assert version("aiokafka") == AIOKAFKA_VERSION

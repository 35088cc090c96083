"""Opening a join: where it begins, and which exposures it refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from everfresh.contracts.errors import LogMismatch, StateFormatError
from everfresh.streaming.join.rows import JOIN_KEY
from everfresh.streaming.log.identity import LogPlace
from everfresh.streaming.partition import Partition, open_partition
from everfresh.streaming.state.key_layout import JOIN_PREFIX
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import (
    START_MS,
    accepted,
    opened,
    place,
    rules,
)


def store_with(count: int = 10) -> MemoryStore:
    store = MemoryStore()
    opened(store).apply([accepted(offset, 1, 1, START_MS) for offset in range(count)])
    return store


def exposed_to(**changes: int | str) -> LogPlace:
    return msgspec.structs.replace(place(topic="t.exposures", end=50), **changes)


def joined(store: MemoryStore, exposures: LogPlace) -> Partition:
    return open_partition(store, place(), rules(horizon_ms=100), exposures)


def test_a_join_begins_where_both_logs_begin() -> None:
    assert joined(MemoryStore(), exposed_to(start=7)).next_exposure == 7


def test_a_join_that_was_off_begins_with_the_exposures_end() -> None:
    assert joined(store_with(), exposed_to()).next_exposure == 50
    store = MemoryStore()
    partition = joined(store, exposed_to())
    partition.apply([accepted(0, 1, 1, START_MS)])
    assert joined(store, exposed_to()).next_exposure == 0
    opened(store).apply([accepted(1, 1, 1, START_MS)])
    assert not [key for key in store.pairs if key.startswith(JOIN_PREFIX)]
    assert joined(store, exposed_to()).next_exposure == 50


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"topic_id": "recreated"}, "the topic was recreated"),
        ({"end": 49}, "it ends at 49"),
        ({"start": 51, "end": 60}, "retention removed 1 records unread"),
    ],
)
def test_another_exposures_log_is_refused(where: dict[str, Any], words: str) -> None:
    store = store_with()
    joined(store, exposed_to())
    with pytest.raises(LogMismatch, match=f"{words}.*joins.horizon_s=0"):
        joined(store, exposed_to(**where))


def test_a_join_of_another_format_is_refused() -> None:
    store = store_with()
    joined(store, exposed_to())
    store.pairs[JOIN_KEY] = b"\xc1nonsense"
    with pytest.raises(StateFormatError, match=r"joins\.horizon_s=0"):
        joined(store, exposed_to())

"""The reader of exposures where Kafka refuses: it goes on, and says why."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from everfresh.contracts.settings import Settings
from everfresh.streaming.join import exposure_reader
from everfresh.streaming.join.exposure_reader import ExposureReader, OwnedJoin


class Refusing(ExposureReader):
    """Reads nothing: raises what comes next, or succeeds."""

    def __init__(self, settings: Settings, comes: Iterator[Exception | None]) -> None:
        super().__init__(settings, lambda: None, lambda batch: None)
        self._comes = comes

    def _follow(self, owned: Any) -> None:
        self._reading = dict(owned)

    async def _read(self, owned: Any) -> int:
        try:
            error = next(self._comes)
        except StopIteration:
            raise asyncio.CancelledError from None
        if error is not None:
            raise error
        return 0

    async def _advance(self, owned: Any) -> None:
        return


async def _room() -> None:
    return


def test_why_exposures_wait_is_said_once_and_again_after_they_came(
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(exposure_reader, "_PAUSE_SECONDS", 0)
    away, refused = KafkaConnectionError("no broker"), TopicAuthorizationFailedError("exposures")
    reader = Refusing(make_settings(), iter([away, away, refused, None, refused]))
    unused = SimpleNamespace(write_outcomes=lambda: None)
    mine = SimpleNamespace(partition=unused, delivery=SimpleNamespace(wait_for_room=_room))
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(reader.run({0: cast(OwnedJoin, mine)}))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "exposures wait, and are tried again: KafkaConnectionError: " in said[0]
    assert "TopicAuthorizationFailedError" in said[1]
    assert said[2] == said[1]

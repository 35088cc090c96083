"""The order of a bridge's steps, with doubles for Kafka: what is counted, dropped, done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event as Flag
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from everfresh.adapters.memory import MemoryReportSink
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.streaming.sources import bridge as module
from everfresh.streaming.sources.bridge import Bridge
from everfresh.streaming.sources.conversion import Conversion
from everfresh.streaming.sources.figures import BridgeFigures
from everfresh.streaming.sources.reader import Moved

SHOP = {"topic": "clicks", "user": "user", "item": "item", "type": "view"}


class Message:
    """A record of partition 0, as librdkafka hands it over."""

    def __init__(self, offset: int, value: bytes | None) -> None:
        self._offset, self._value = offset, value

    def topic(self) -> str:
        return "clicks"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_782_907_200_000

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> None:
        return None


class Log:
    """The reader and the writer at once; it notes what happens in what order."""

    def __init__(self, values: list[bytes | None], stop: Flag) -> None:
        self.values, self.at, self.stop = values, 0, stop
        self.written: list[Any] = []
        self.steps: list[str] = []
        self.aborts = 0
        self.moves = 0
        self.stops_at_idle = False
        self.gap = 0
        self.topic = SimpleNamespace(away="", id="id")

    def take(self) -> list[Message]:
        if self.at == len(self.values):
            self.stop.set()
            return []
        self.steps.append("take")
        return [Message(n, value) for n, value in enumerate(self.values) if n >= self.at]

    def after(self, messages: list[Message]) -> dict[int, int]:
        return {0: messages[-1].offset() + 1}

    def committable(self, offsets: dict[int, int]) -> Any:
        return offsets

    def group(self) -> str:
        return "group"

    def settled(self, offsets: dict[int, int]) -> None:
        self.at = offsets[0]

    def rewind(self) -> None:
        self.steps.append("rewind")

    def idle(self) -> None:
        self.steps.append("idle")
        if self.stops_at_idle:
            self.stop.set()
        if self.moves:
            self.moves -= 1
            raise Moved

    def commit_without_records(self) -> None:
        """Nothing is to be committed."""

    def positions(self) -> dict[int, int]:
        return {0: self.at}

    def lag(self) -> float:
        return float(len(self.values) - self.at)

    def write(
        self, records: Iterable[Any], offsets: Any, group: Any, wait: Callable[[str], None]
    ) -> bool:
        made = list(records)
        self.steps.append("write")
        if self.aborts:
            self.aborts -= 1
            return False
        self.written += made
        return True


class Bench:
    def __init__(self, make: Callable[..., Settings], values: list[bytes | None]) -> None:
        settings = make(sources={"shop": SHOP})
        self.conversion = Conversion("shop", settings)
        self.figures = BridgeFigures("bridge-shop", "shop", 0)
        self.sink = MemoryReportSink()
        self.stop = Flag()
        self.log = Log(values, self.stop)
        self.bridge = Bridge(
            self.conversion, settings, self.figures, self.sink, lambda: 1, self.stop
        )

    def run(self) -> dict[str, Any]:
        self.bridge.run(self.log, self.log)  # type: ignore[arg-type]
        return self.figures.status(1, "stopped").figures


@pytest.fixture
def bench(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "_RETRY_S", 0.0)
    monkeypatch.setattr(module, "_ABORTED_S", 0.0)
    return Bench(make_settings, [b'{"user": 1, "item": 2}', b"{", None])


class AwayFor:
    """A conversion whose registry does not answer the first times."""

    def __init__(self, conversion: Conversion, times: int) -> None:
        self._conversion, self._times = conversion, times
        self.reads_headers = False

    def convert(self, *record: Any) -> Any:
        if self._times:
            self._times -= 1
            raise Unreachable("the registry is away")
        return self._conversion.convert(*record)


def test_what_is_settled_is_counted_once_also_if_a_transaction_is_done_again(bench: Bench) -> None:
    bench.log.aborts = 2
    figures = bench.run()
    assert bench.log.steps == [
        "take",
        "write",
        "rewind",
        "take",
        "write",
        "rewind",
        "take",
        "write",
    ]
    names = ("read", "events", "rejected", "tombstones", "aborted")
    assert [figures[name] for name in names] == [3, 1, 1, 1, 2]
    event, letter = bench.log.written
    assert msgspec.json.decode(event.value)["id"] == "clicks/0/0/1782907200000"
    headers = dict(letter.headers)
    place = [headers[f"dead_{name}"] for name in ("topic", "partition", "offset", "reason")]
    assert place == [b"clicks", b"0", b"1", b"not_json"]


def test_no_transaction_is_open_while_the_registry_is_away(bench: Bench) -> None:
    bench.bridge._conversion = AwayFor(bench.conversion, 3)  # type: ignore[assignment]
    figures = bench.run()
    assert bench.log.steps == ["take", "idle", "idle", "idle", "write"]
    assert figures["read"] == 3
    waiting = [status for status in bench.sink.statuses if status.state == "waiting"]
    assert waiting[0].figures["reason"] == "the registry is away"


def test_what_moves_to_another_bridge_meanwhile_is_dropped_and_taken_again(bench: Bench) -> None:
    bench.bridge._conversion = AwayFor(bench.conversion, 1)  # type: ignore[assignment]
    bench.log.moves = 1
    figures = bench.run()
    assert bench.log.steps == ["take", "idle", "take", "write"]
    assert figures["read"] == 3


def test_told_to_stop_while_it_waits_it_writes_nothing(bench: Bench) -> None:
    bench.bridge._conversion = AwayFor(bench.conversion, 10)  # type: ignore[assignment]
    bench.log.stops_at_idle = True
    assert bench.run()["read"] == 0
    assert bench.log.steps == ["take", "idle"]

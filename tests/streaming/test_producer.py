"""What the public producer loads, and which headers it sends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from everfresh.streaming import producer
from everfresh.streaming.producer import EventProducer

HEAVY = ("pydantic", "faust", "rocksdict", "aiokafka", "torch", "ray", "infra")


@pytest.mark.process
def test_the_producer_needs_the_base_install_alone() -> None:
    code = (
        f"import sys, everfresh.streaming.producer; print([n for n in {HEAVY} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


class Sent:
    """A Kafka client that keeps the headers of what is sent."""

    def __init__(self) -> None:
        self.headers: list[list[tuple[str, bytes]]] = []

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Sent:
        self.headers.append(headers)
        return self

    def add_errback(self, *_: object) -> None: ...

    def flush(self, timeout: float | None = None) -> None: ...

    def close(self, timeout: float | None = None) -> None: ...


def test_an_event_carries_the_trace_that_it_is_sent_in(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Sent()
    monkeypatch.setattr(producer, "connect", lambda settings: client)

    def inject(carrier: dict[str, str]) -> None:
        carrier["traceparent"] = "00-1-2-01"

    for injecting in (inject, None):
        with EventProducer("nowhere:1", inject=injecting) as events:
            events.send(user_id=1, item_id=2, type="view")
    traced, plain = client.headers
    assert traced[0] == plain[0] == ("ce_specversion", b"1.0")
    assert traced[-1] == ("traceparent", b"00-1-2-01")
    assert "traceparent" not in dict(plain)

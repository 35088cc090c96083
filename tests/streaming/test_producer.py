"""What the public producer loads, and which headers it sends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from everfresh.contracts.errors import DeliveryError
from everfresh.streaming import producer
from everfresh.streaming.producer import EventProducer

HEAVY = ("pydantic", "faust", "rocksdict", "aiokafka", "torch", "ray", "infra")


@pytest.mark.process
def test_the_producer_needs_the_base_install_alone() -> None:
    code = (
        f"import sys, everfresh.streaming.producer; print([n for n in {HEAVY} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "[]"


class Sent:
    """A Kafka client that keeps the headers of what is sent."""

    def __init__(self) -> None:
        self.headers: list[list[tuple[str, bytes]]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Sent:
        self.headers.append(headers)
        return self

    def add_errback(self, *_: object) -> None: ...

    def flush(self, timeout: float | None = None) -> None:
        self.meanwhile()

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


def test_of_what_failed_one_thread_hears_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Sent()
    monkeypatch.setattr(producer, "connect", lambda settings: client)
    events = EventProducer("nowhere:1")
    events._note_failure(ValueError("no room"))

    def another() -> None:
        client.meanwhile = lambda: None
        events.send(user_id=2, item_id=2, type="view")
        events._note_failure(ValueError("that one, too"))

    client.meanwhile = another
    with pytest.raises(DeliveryError, match=r"^2 events did not reach .*no room"):
        events.send(user_id=1, item_id=2, type="view")
    assert len(client.headers) == 1
    events.send(user_id=1, item_id=2, type="view")
    events.close()

"""Constant load: good events of few users, one of them hot, and everything that is not one."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

RATE = 160
USERS = 60
HOT_SHARE = 0.25
BAD_SHARE = 0.04
TWICE_SHARE = 0.03
MAX_BYTES = 2048
ACTIONS = ["view", "click", "like"]


class Load:
    """A thread that sends between :meth:`resume` and :meth:`pause`.

    ``acknowledged`` maps partition and offset to what was sent.
    """

    def __init__(self, servers: str, topic: str, seed: int) -> None:
        self._topic = topic
        self._choose = random.Random(seed)
        self._run = f"{seed}-{topic}"
        self._number = 0
        self._sending = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[tuple[int, int], bytes | None] = {}
        self.failed = 0
        self._producer = KafkaProducer(
            bootstrap_servers=servers,
            acks="all",
            linger_ms=5,
            delivery_timeout_ms=60_000,
            request_timeout_ms=5_000,
            max_block_ms=60_000,
            reconnect_backoff_max_ms=500,
            allow_auto_create_topics=False,
        )
        self._thread = threading.Thread(target=self._send_on, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Send from now on."""
        self._sending.set()

    def pause(self) -> None:
        """Send nothing more, and return once the broker has all or has refused it."""
        self._sending.clear()
        with self._lock:
            self._producer.flush(timeout=600)

    def close(self) -> None:
        """End the thread and the connection."""
        self._ended.set()
        self._sending.set()
        self._thread.join(70)
        self._producer.close(timeout=10)

    def _send_on(self) -> None:
        while not self._ended.is_set():
            self._sending.wait()
            began = time.monotonic()
            with self._lock:
                for _ in range(RATE // 20):
                    if self._sending.is_set() and not self._ended.is_set():
                        self._send(*self._record())
            time.sleep(max(0.0, began + 0.05 - time.monotonic()))

    def _send(self, key: bytes | None, value: bytes | None) -> None:
        # What a producer that retries without idempotence writes: the same record twice.
        for _ in range(2 if self._choose.random() < TWICE_SHARE else 1):
            try:
                sent = self._producer.send(self._topic, key=key, value=value)
            except KafkaError:
                self.failed += 1
                continue
            sent.add_callback(self._note, value)
            sent.add_errback(self._fail)

    def _note(self, value: bytes | None, place: Any) -> None:
        self.acknowledged[place.partition, place.offset] = value

    def _fail(self, cause: BaseException) -> None:
        self.failed += 1

    def _record(self) -> tuple[bytes | None, bytes | None]:
        choose = self._choose
        number = 0 if choose.random() < HOT_SHARE else choose.randrange(USERS)
        user: int | str = number if number % 3 else f"u{number}"
        event: dict[str, Any] = {
            "id": f"{self._run}-{self._number}",
            "type": choose.choice(ACTIONS),
            "time": 1_700_000_000_000 + self._number,
            "user_id": user,
            "item_id": choose.choice([choose.randrange(500), f"i{choose.randrange(500)}"]),
        }
        if choose.random() < 0.3:
            event["value"] = choose.randrange(-20, 20) / 4
        self._number += 1
        key: bytes | None = str(user).encode()
        if choose.random() < BAD_SHARE:
            return self._malformed(key, event)
        return key, json.dumps(event).encode()

    def _malformed(
        self, key: bytes | None, event: dict[str, Any]
    ) -> tuple[bytes | None, bytes | None]:
        complete = json.dumps(event).encode()
        lacking = dict(event)
        lacking.pop(self._choose.choice(["id", "type", "time", "user_id", "item_id"]))
        return self._choose.choice(
            [
                (None, complete),
                (key, None),
                (b"somebody else", complete),
                (key, complete[: self._choose.randrange(len(complete))]),
                (key, b"[1, 2, 3]"),
                (key, json.dumps(lacking).encode()),
                (key, json.dumps({**event, "type": "teleport"}).encode()),
                (key, json.dumps({**event, "time": 2**45}).encode()),
                (key, json.dumps({**event, "attributes": {"fill": "x" * MAX_BYTES}}).encode()),
            ]
        )

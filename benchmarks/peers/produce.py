"""Fill a topic quickly: ``BOOTSTRAP TOPIC EVENTS USERS EVENTS_PER_SECOND [SECONDS]``.

JSON events of users by Zipf's law.

At a given rate, every 10 ms one event more is a probe: its user is one of ``PROBE_USERS`` and its
time is the very moment it is made.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from confluent_kafka import Producer

from benchmarks.peers.job import PROBE_USERS

_PROBE_S = 0.01


def main(bootstrap: str, topic: str, events: int, users: int, rate: float, seconds: float) -> None:
    """Write ``events`` events, keyed by user, for ``seconds`` at most.

    ``rate`` 0 is as fast as possible.
    """
    random = np.random.default_rng(7)
    weights = 1.0 / np.arange(1, users + 1)
    who = random.choice(users, size=events, p=weights / weights.sum()).tolist()
    what = random.integers(0, 10_000, size=events).tolist()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "enable.idempotence": True,
        }
    )

    run = os.getpid()  # an id is never sent twice, or the worker would rightly leave it out

    def send(number: int, user: int, item: int, made_ms: int) -> None:
        value = (
            f'{{"id":"{run}-{number}","type":"click","time":{made_ms},"user_id":{user},'
            f'"item_id":{item}}}'
        )
        while True:
            try:
                return producer.produce(topic, value.encode(), str(user).encode())
            except BufferError:
                producer.poll(0.05)

    pace = max(1, int(rate * 0.004)) if rate else 1000
    began, probes = time.monotonic(), 0
    now = int(time.time() * 1000)
    for at in range(events):
        send(at, who[at], what[at], now)
        if at % pace == 0:
            producer.poll(0)
            now = int(time.time() * 1000)
            gone = time.monotonic() - began
            if gone > seconds:
                break
            if rate and gone > probes * _PROBE_S:
                probe = PROBE_USERS[probes % len(PROBE_USERS)]
                send(events + probes, probe, probes % 10_000, now)
                probes += 1
            if rate and at / rate > gone:
                time.sleep(at / rate - gone)
    producer.flush()


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        int(sys.argv[3]),
        int(sys.argv[4]),
        float(sys.argv[5]),
        float(sys.argv[6]) if len(sys.argv) > 6 else 1e9,
    )

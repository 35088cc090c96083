"""Fill a topic quickly: ``BOOTSTRAP TOPIC EVENTS USERS EVENTS_PER_SECOND [even]``, in JSON.

Users follow Zipf's law, or with ``even`` have the same number of events each, in turn.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from confluent_kafka import Producer


def main(
    bootstrap: str, topic: str, events: int, users: int, rate: float, spread: str = "zipf"
) -> None:
    """Write ``events`` events, keyed by user; ``rate`` 0 is as fast as possible."""
    random = np.random.default_rng(7)
    weights = 1.0 / np.arange(1, users + 1)
    who = random.choice(users, size=events, p=weights / weights.sum())
    if spread == "even":
        who = np.arange(events) % users
    what = random.integers(0, 10_000, size=events)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "enable.idempotence": True,
        }
    )
    began = time.monotonic()
    now = int(time.time() * 1000)
    for at in range(events):
        user, item = who[at], what[at]
        value = (
            f'{{"id":"{at}","type":"click","time":{now + at},"user_id":{user},"item_id":{item}}}'
        )
        while True:
            try:
                producer.produce(topic, value.encode(), str(user).encode())
                break
            except BufferError:
                producer.poll(0.05)
        if at % 1000 == 0:
            producer.poll(0)
            ahead = at / rate - (time.monotonic() - began) if rate else 0.0
            if ahead > 0:
                time.sleep(ahead)
    producer.flush()


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        int(sys.argv[3]),
        int(sys.argv[4]),
        float(sys.argv[5]),
        *sys.argv[6:],
    )

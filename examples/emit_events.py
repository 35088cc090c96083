"""Emit a few events to a running Kafka: `python examples/emit_events.py HOST:PORT`."""

import sys

from everfresh.streaming.producer import EventProducer


def main(bootstrap_servers: str, topic: str = "everfresh.events") -> None:
    """One user looks at two items and likes the second."""
    with EventProducer(bootstrap_servers, topic=topic) as events:
        events.send(user_id="ada", item_id="book-1", type="view")
        events.send(user_id="ada", item_id="book-2", type="view")
        events.send(user_id="ada", item_id="book-2", type="like")
    print("3 events are in the log")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Emit three events to a running Kafka: `python examples/emit_events.py HOST:PORT [TOPIC]`."""

import argparse
import sys

from everfresh import EventProducer
from everfresh.contracts.errors import EverfreshError


def main() -> None:
    """One user looks at two items and likes the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap_servers", metavar="HOST:PORT", help="a Kafka broker")
    parser.add_argument("topic", metavar="TOPIC", nargs="?", default="everfresh.events")
    wanted = parser.parse_args()
    try:
        with EventProducer(wanted.bootstrap_servers, topic=wanted.topic) as events:
            events.send(user_id="ada", item_id="book-1", type="view")
            events.send(user_id="ada", item_id="book-2", type="view")
            events.send(user_id="ada", item_id="book-2", type="like")
        # Leaving the block has waited until the broker had all of them.
    except EverfreshError as error:
        sys.exit(f"error: {error}")
    print("3 events are in the log")


if __name__ == "__main__":
    main()

"""Compare arms and versions by outcomes: `python examples/outcomes_by_arm.py HOST:PORT [TOPIC]`.

An outcome is one answer with the feedback that came for it within `joins.horizon_s`. The table
says, for each arm of an experiment and each version of the weights, how many answers were shown,
how many of them got feedback on an item that they showed, and the share of these (more is better).
"""

import argparse
import sys
from collections import Counter

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.outcome import Outcome, decode_outcome


def read(bootstrap_servers: str, topic: str) -> dict[str, Outcome]:
    """All outcomes up to now, by id: one that was written again counts once."""
    outcomes: dict[str, Outcome] = {}
    with KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False) as consumer:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            sys.exit(
                f"error: {bootstrap_servers} has no topic {topic}; name the topic of your loop"
            )
        partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    try:
                        outcome = decode_outcome(record.value)
                    except ForeignRecord as error:
                        place = f"partition {record.partition} offset {record.offset}"
                        print(f"left out: {place} is no outcome: {error}", file=sys.stderr)
                    else:
                        outcomes.setdefault(outcome.id, outcome)
    return outcomes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bootstrap_servers", metavar="HOST:PORT", help="a Kafka broker")
    parser.add_argument("topic", metavar="TOPIC", nargs="?", default="everfresh.outcomes")
    wanted = parser.parse_args()
    try:
        outcomes = read(wanted.bootstrap_servers, wanted.topic)
    except KafkaError as error:
        sys.exit(f"error: no Kafka broker answers at {wanted.bootstrap_servers}: {error}")
    shown: Counter[tuple[str, int]] = Counter()
    answered: Counter[tuple[str, int]] = Counter()
    for outcome in outcomes.values():
        exposure = outcome.exposure
        # Two experiments may have arms of one name.
        arm = f"{exposure.experiment}/{exposure.arm}" if exposure.experiment else exposure.arm
        group = (arm, exposure.version)
        shown[group] += 1
        answered[group] += any(event.position is not None for event in outcome.feedback)
    print("arm                    version      shown  answered   rate")
    for (arm, version), number in sorted(shown.items()):
        rate = answered[arm, version] / number
        print(f"{arm:22} {version:7} {number:10} {answered[arm, version]:9} {rate:6.3f}")


if __name__ == "__main__":
    main()

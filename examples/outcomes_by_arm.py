"""Compare arms and versions by their outcomes: `python examples/outcomes_by_arm.py HOST:PORT`."""

import sys
from collections import Counter

from kafka import KafkaConsumer, TopicPartition

from everfresh.contracts.outcome import Outcome, decode_outcome


def read(bootstrap_servers: str, topic: str) -> dict[str, Outcome]:
    """All outcomes up to now, by id: one that was written again counts once."""
    with KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False) as consumer:
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        found: dict[str, Outcome] = {}
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    outcome = decode_outcome(record.value)
                    found.setdefault(outcome.id, outcome)
        return found


def main(bootstrap_servers: str, topic: str = "everfresh.outcomes") -> None:
    """Per arm and version: exposures, and how many of them got feedback on an item shown."""
    exposures: Counter[tuple[str, int]] = Counter()
    answered: Counter[tuple[str, int]] = Counter()
    for outcome in read(bootstrap_servers, topic).values():
        group = (outcome.exposure.arm, outcome.exposure.version)
        exposures[group] += 1
        answered[group] += any(one.position is not None for one in outcome.feedback)
    print("arm        version  exposures  answered   rate")
    for group, number in sorted(exposures.items()):
        arm, version = group
        rate = answered[group] / number
        print(f"{arm:10} {version:7} {number:10} {answered[group]:9} {rate:6.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

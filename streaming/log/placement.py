"""Which keys belong to a partition: a record that stands in another one is seen here (law 1)."""

from __future__ import annotations

from everfresh.contracts.errors import EventRejected
from everfresh.contracts.partitioning import WRONG_PARTITION, partition_of

_REMEMBERED = 65_536  # keys, at some 100 bytes each


class Placement:
    """Says whether keys belong to partition ``partition`` of ``partitions``.

    ``known`` holds keys that do, so that who asks often need not call. It is emptied when it is
    full. With fewer than two partitions, every key belongs.
    """

    def __init__(self, partition: int = 0, partitions: int = 1) -> None:
        self.known: set[bytes] = set()
        self._partition = partition
        self._partitions = partitions

    def holds(self, key: bytes) -> bool:
        """Whether ``key`` belongs here; then it is ``known`` afterwards."""
        if self._partitions > 1 and self.right_partition(key) != self._partition:
            return False
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        self.known.add(key)
        return True

    def require(self, key: bytes) -> None:
        """``EventRejected`` where ``key`` belongs to another partition."""
        if not (key in self.known or self.holds(key)):
            raise EventRejected(
                WRONG_PARTITION,
                f"by Kafka's murmur2 the key {key!r} belongs to partition "
                f"{self.right_partition(key)}, found in {self._partition}; set the producer's "
                "partitioner to murmur2 (librdkafka: partitioner=murmur2_random)",
            )

    def right_partition(self, key: bytes) -> int:
        """The partition that ``key`` belongs to."""
        return partition_of(key, self._partitions)

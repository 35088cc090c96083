"""Which partition a record's key belongs to, by Kafka's murmur2 as Java clients do it (law 1).

librdkafka's default, CRC32, and those of some other clients put the same key elsewhere. Then one
user's events stand in two partitions, and no worker sees all of them.
"""

from __future__ import annotations

import struct

WRONG_PARTITION = "wrong_partition"
"""Why a record is not accepted whose key belongs to another partition than the one it stands in."""

_MULTIPLIER, _SEED, _MASK = 0x5BD1E995, 0x9747B28C, 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 (``org.apache.kafka.common.utils.Utils.murmur2``), unsigned."""
    # About half of what kafka-python's own takes, which counts where a key is seen for the first
    # time: its words are unpacked at once, and each is masked where it may have grown.
    number, rest = divmod(len(key), 4)
    hashed = _SEED ^ len(key)
    for word in struct.unpack_from(f"<{number}I", key):
        mixed = word * _MULTIPLIER & _MASK
        hashed = (hashed * _MULTIPLIER ^ (mixed ^ mixed >> 24) * _MULTIPLIER) & _MASK
    if rest:
        hashed = (hashed ^ int.from_bytes(key[-rest:], "little")) * _MULTIPLIER & _MASK
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _MASK
    return hashed ^ hashed >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, of so many, that Kafka's default partitioner chooses for ``key``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions

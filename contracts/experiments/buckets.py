"""Which bucket a user falls into, and which arm a bucket belongs to, as GrowthBook's SDKs say.

The source is GrowthBook's SDK specification 0.7.1, so that other systems that follow it put the
same users into the same arms. A bucket is a number in [0, 1): of 10,000 steps by version 2 of the
hash, of 1,000 by version 1, by which the specification places users in namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_OFFSET, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF

Range = tuple[float, float]
"""Buckets from the first number on, up to and without the second."""


def fnv1a32(text: str, state: int = _OFFSET) -> int:
    """The 32-bit FNV-1a hash of the text, going on from ``state``.

    It takes UTF-16 code units, as the specification's own SDK in JavaScript does.
    """
    units: Iterable[int]
    if text.isascii():
        units = text.encode()
    else:
        units = memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")
    for unit in units:
        state = ((state ^ unit) * _PRIME) & _MASK
    return state


def bucket(seed: str, value: str, version: int) -> float | None:
    """The bucket of a user, whose id is ``value``; ``None`` for a version that is not known."""
    if version == 2:
        return bucket_after(fnv1a32(seed), value)
    if version == 1:
        return fnv1a32(value + seed) % 1_000 / 1_000
    return None


def bucket_after(seed_state: int, value: str) -> float:
    """The bucket by version 2 of the hash, where the hash of the seed is known already."""
    return fnv1a32(str(fnv1a32(value, seed_state))) % 10_000 / 10_000


def namespace_bucket(namespace: str, value: str) -> float:
    """The place of a user in a namespace."""
    return fnv1a32(f"{value}__{namespace}") % 1_000 / 1_000


def bucket_ranges(
    arms: int, coverage: float, weights: Sequence[float] | None = None
) -> list[Range]:
    """The range of each arm: ``coverage`` (0 to 1) of its share of all buckets.

    Shares lie one after the other, so more coverage only moves the ends of ranges up: whoever is in
    an arm stays in it. Weights that are of the wrong number, or do not sum to 1, are replaced by
    even ones, as the specification has it.
    """
    coverage = min(1.0, max(0.0, coverage))
    if weights is None or len(weights) != arms or not 0.99 <= sum(weights) <= 1.01:
        weights = [1 / arms] * arms if arms else []
    ranges, begin = [], 0.0
    for weight in weights:
        ranges.append((begin, begin + coverage * weight))
        begin += weight
    return ranges


def arm_of(at: float, ranges: Sequence[Range]) -> int | None:
    """The number of the arm whose range holds the bucket; ``None`` where none does."""
    for number, (begin, end) in enumerate(ranges):
        if begin <= at < end:
            return number
    return None

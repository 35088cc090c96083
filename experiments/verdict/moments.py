"""Exact sums over users: all that the comparison of two arms needs to know of them.

A user is a vector of whole numbers (counts, or millionths of a value). Kept are the number of
users, the sum of each entry and of each product of two entries. They are Python's own integers, so
nothing is rounded: adding a user and taking the user away again leaves no trace, and the sums are
the same in whatever order and in however many steps the outcomes were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np
from numpy.typing import NDArray

UNIT = 1_000_000
"""Entries are in millionths, so that values have six decimals."""


class Moments(msgspec.Struct):
    """Of one group of users. ``products`` holds the upper triangle, row by row."""

    users: int
    sums: list[int]
    products: list[int]

    @classmethod
    def of_size(cls, entries: int) -> Moments:
        """Of no users."""
        return cls(0, [0] * entries, [0] * (entries * (entries + 1) // 2))

    def add(self, user: Sequence[int], times: int = 1) -> None:
        """Count a user with this vector; ``times`` -1 takes one away again."""
        self.users += times
        at = 0
        size = len(user)
        for row, value in enumerate(user):
            if value:
                self.sums[row] += times * value
                for column in range(row, size):
                    if other := user[column]:
                        self.products[at + column - row] += times * value * other
            at += size - row

    def plus(self, other: Moments) -> Moments:
        """Of both groups together."""
        return Moments(
            self.users + other.users,
            [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)],
            [mine + theirs for mine, theirs in zip(self.products, other.products, strict=True)],
        )

    def mean(self) -> NDArray[np.float64]:
        """Mean of each entry, in its own unit. There must be a user."""
        return np.array([float(Fraction(total, self.users * UNIT)) for total in self.sums])

    def covariance(self) -> NDArray[np.float64]:
        """Sample covariance of the entries over users (divided by users - 1); at least 2 users.

        Each entry is computed exactly and rounded once, so nothing cancels.
        """
        size, users = len(self.sums), self.users
        matrix = np.zeros((size, size))
        divisor = users * (users - 1) * UNIT * UNIT
        at = 0
        for row in range(size):
            for column in range(row, size):
                numerator = users * self.products[at] - self.sums[row] * self.sums[column]
                matrix[row, column] = matrix[column, row] = float(Fraction(numerator, divisor))
                at += 1
        return matrix

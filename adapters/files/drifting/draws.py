"""Random draws that are the same on every machine.

They come from ``random.Random.random``, whose sequence Python promises to keep for a whole number
as seed. Beyond it stand only additions, multiplications, divisions and square roots, which IEEE 754
defines to the last bit, and logarithms and powers that are rounded before they are used.
"""

from __future__ import annotations

import math
import random


class Draws:
    """One sequence of draws, from its seed."""

    def __init__(self, seed: int) -> None:
        self.share = random.Random(seed).random
        """A number from 0 up to, not including, 1."""

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.share() < probability

    def below(self, number: int) -> int:
        """A whole number from 0 to ``number - 1``."""
        return int(self.share() * number)

    def wait_ms(self, mean_ms: float) -> int:
        """Milliseconds until the next of events that come by chance, on average ``mean_ms``."""
        return round(-math.log(1.0 - self.share()) * mean_ms)

    def pareto(self, exponent: float, most: float) -> float:
        """At least 1 and at most ``most``; above x with the probability x ** -exponent."""
        return min(most, round(math.pow(1.0 - self.share(), -1.0 / exponent), 9))

    def spread(self) -> float:
        """A factor from a half to 2, as likely above 1 as below."""
        return round(math.pow(2.0, 2.0 * self.share() - 1.0), 9)

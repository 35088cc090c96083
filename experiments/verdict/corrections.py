"""The correction for many comparisons at once: Benjamini and Hochberg's, 1995."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the same order.

    Of those at most some error, a share of at most that error is false, on average.
    """
    number = len(p_values)
    adjusted = [1.0] * number
    least = 1.0
    for rank, at in reversed(list(enumerate(sorted(range(number), key=p_values.__getitem__), 1))):
        least = min(least, p_values[at] * number / rank)
        adjusted[at] = least
    return adjusted

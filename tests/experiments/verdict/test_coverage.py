"""Looking after every window calls equal arms different no more often than is stated."""

from __future__ import annotations

from benchmarks.studies.looking_early import Crowd, misses

EXPERIMENTS = 60


def test_equal_arms_looked_at_after_every_window_are_rarely_called_different() -> None:
    """At the stated error of 5 % three are expected at most; more than eight come by chance once in
    ten thousand. Welch's interval, looked at as often, fails in a fifth or more."""
    found = misses(Crowd(100, 40, rate=1.0, sameness=1e6), EXPERIMENTS, 1, 0.05, 1000)
    assert found.always <= 8
    assert found.peeked >= 9


def test_a_known_difference_lies_within_the_interval_at_every_look() -> None:
    found = misses(Crowd(150, 30, rate=1.0, lift=0.1), EXPERIMENTS, 1, 0.05, 1000)
    assert found.always <= 8

"""The broker's time as it is known from acknowledgements."""

from __future__ import annotations

from everfresh.streaming.log.broker_time import BrokerTime


def test_before_the_first_acknowledgement_the_time_is_not_known() -> None:
    assert BrokerTime().now(5) is None


def test_the_time_is_the_stamp_and_what_has_passed_since() -> None:
    time = BrokerTime()
    time.note(1_000_000, ticks_ms=70)
    assert time.now(70) == 1_000_000
    assert time.now(90) == 1_000_020


def test_a_broker_whose_clock_was_put_back_is_believed() -> None:
    time = BrokerTime()
    time.note(1_000_000, ticks_ms=0)
    time.note(900_000, ticks_ms=10)
    assert time.now(11) == 900_001

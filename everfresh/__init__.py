"""everfresh: a Kafka stream of user events keeps a generative recommender seconds old.

This package offers what an event producer needs. Its parts are the folders beside it, which stand
here as relative links under one import name: ``everfresh.contracts``, ``everfresh.streaming``, …
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everfresh.contracts.kafka.security import KafkaSecurity
    from everfresh.streaming.flag_tracking import tracking
    from everfresh.streaming.producer import EventProducer

__all__ = ["EventProducer", "KafkaSecurity", "__version__", "tracking"]


def __getattr__(name: str) -> object:
    """Load what is asked for: importing a part must not load the producer's Kafka client."""
    if name == "EventProducer":
        from everfresh.streaming.producer import EventProducer  # noqa: PLC0415 - as said above

        return EventProducer
    if name == "tracking":
        from everfresh.streaming.flag_tracking import tracking  # noqa: PLC0415 - as above

        return tracking
    if name == "KafkaSecurity":
        from everfresh.contracts.kafka.security import KafkaSecurity  # noqa: PLC0415 - as above

        return KafkaSecurity
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - as above

        return version("everfresh")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

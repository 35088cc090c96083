"""Examples of the records that others write or read; a test reads each as the product does."""

from __future__ import annotations

from typing import Any

import msgspec

from everfresh.contracts.event import Event
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.outcome import Feedback, Outcome

_TIME = 1_782_907_200_000


def events() -> list[dict[str, Any]]:
    """A click with nothing else, a rating with a value, and a purchase that followed an answer."""
    return [
        _built(event)
        for event in (
            Event("3f1c-1", "click", _TIME, 42, "B00042"),
            Event("3f1c-2", "rating", _TIME + 1000, "ada", 7, value=4.5),
            Event(
                "3f1c-3",
                "purchase",
                _TIME + 2000,
                "ada",
                "B00042",
                value=19.9,
                request_id="5b0d9f6c",
                attributes={"page": "home", "device": "phone"},
            ),
        )
    ]


def exposures() -> list[dict[str, Any]]:
    """An answer to a user of no experiment, and one by an arm of an experiment."""
    return [_built(_exposure()), _built(_in_experiment())]


def outcomes() -> list[dict[str, Any]]:
    """An answer that nothing followed, and one that led to a purchase."""
    bought = Feedback(17, _TIME + 2010, _TIME + 2000, "purchase", "B00042", 0, 19.9)
    return [
        _built(Outcome("0-11", _TIME + 60, 1_800_000, _exposure(), [])),
        _built(Outcome("2-12", _TIME + 70, 1_800_000, _in_experiment(), [bought])),
    ]


def _exposure() -> Exposure:
    return Exposure(
        "9a77c1de", 42, _TIME + 50, "default", 3, 0, "model", ["B00042", 7], [0.91, 0.4], 0, 10
    )


def _in_experiment() -> Exposure:
    return Exposure(
        "5b0d9f6c",
        "ada",
        _TIME + 55,
        "new",
        3,
        0,
        "model",
        ["B00042", 7],
        [0.91, 0.4],
        2,
        15,
        experiment="home-page",
        definition_version=4,
        probability=0.5,
    )


def _built(record: Any) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(record)
    return built

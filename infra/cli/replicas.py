"""Waits until the replicas of a run have come to where a command has led them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import STATUS
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.run_reports import RunReports

_WAIT_POLLS = 75
_POLL_MS = 200

Figures = Mapping[str, object]
"""What a replica's status says."""


def say_followed(console: Terminal, settings: Settings, figure: str, offset: int) -> None:
    """Print how many replicas have read the record at ``offset``, after 15 s at most.

    ``figure`` is what their status calls the offset after the last record that they have read.
    """

    def has_read(figures: Figures) -> bool:
        end = figures.get(figure)
        return isinstance(end, int) and end > offset

    following, replicas = await_replicas(settings, has_read)
    console.print(f"followed by {following} of {replicas} replicas")
    if following < replicas:
        console.print("the others follow as soon as they can; their log says what they wait for")


def await_replicas(settings: Settings, reached: Callable[[Figures], bool]) -> tuple[int, int]:
    """How many replicas have ``reached`` it, after 15 s at most, of how many.

    Those that run are waited for, however many there are, and the fewest that there should be.
    """
    least = settings.serving.replica_range.least
    reports = RunReports(least)
    there, running = 0, least
    with RecordTail(settings.kafka.brokers, settings.kafka.topic_prefix, [STATUS]) as tail:
        heard = tail.read_to_end()
        for _ in range(_WAIT_POLLS):
            for record in heard:
                if isinstance(record, ComponentStatus):
                    reports.status(record)
            replicas = reports.components("replica", time.time_ns() // 1_000_000)
            there = sum(reached(status.figures) for status in replicas)
            running = max(least, len(replicas))
            if there >= running:
                break
            heard = tail.poll(_POLL_MS)
    return there, running

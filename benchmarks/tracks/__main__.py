"""What do tracks beside the default one cost requests, the trainer and memory?

    python -m benchmarks.tracks [--quick] [--json FILE] [--repeats N]

Good: a request outside of experiments costs the same however many tracks there are; the trainer's
time and the replicas' memory grow by no more than one track's for each.

Requests: real HTTP from wrk to real replicas, over histories of 99 events in RocksDB, exposures
written to a real broker. One track and four take turns at the same replicas: three are declared,
and ended again. With four tracks there is also an experiment that gives each a quarter of users,
and one that lets two of them make each answer together; with one track also arms that explore.
Training: the trainer's own schedule over made-up windows, in this process, in its processor time.
Interleaving and exploration are also measured as one answer in a process without network, in its
processor time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.harness.options import parse_options
from benchmarks.harness.report import write_figures
from benchmarks.tracks import by_chance
from benchmarks.tracks.measure import measure
from benchmarks.tracks.report import figures, show
from benchmarks.tracks.training import window_seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = parse_options("tracks", __doc__, argv)
    began = time.monotonic()
    users, seconds, repeats = (100, 4.0, 2) if options.quick else (1_000, 6.0, options.repeats)
    costs = by_chance.measured(50 if options.quick else 300)
    training = {number: window_seconds(number, 4 if options.quick else 12) for number in (1, 4)}
    serving = measure(users, seconds, repeats)
    show(serving, training)
    by_chance.show(costs)
    named = {
        "answer_ms": round(costs["answer"], 4),
        "interleave_ms": round(costs["interleaved"], 4),
        "explore_ms": round(costs["exploring"], 4),
    }
    told = {**figures(serving, training), **named, "users": users}
    write_figures(told, began, options.json)


if __name__ == "__main__":
    main()

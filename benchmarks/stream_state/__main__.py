"""How many events per second can a stream worker take, at what cost, and how soon readable?

    python -m benchmarks.stream_state [--quick] [--json FILE] [--repeats N]

Good: many events per CPU second beside Kafka Streams, Quix Streams and a Faust table, few bytes of
memory and disk, and a low age of events. The bare fetch is the upper limit for a Python consumer.

One job for all, on one embedded Kafka and one topic, in one run: JSON events of 20,000 users (Zipf)
in 4 partitions; the last 200 events of each user kept durably. Ours runs as users run it, with
validation, windows and dead letters on. CPU seconds, memory and disk are those of the system's
whole process tree from its first progress on, for 30 s or until the topic is worked off. Then each
system takes half of the events per second that it reached, and probes among them tell how old an
event is when it can be read (see ``half_load.py``). Two workers share the partitions in one more
run. The full run draws ``docs/stream_state.png``.

Kafka Streams runs in four cells: at least once and exactly once, each with its cache (10 MiB, the
default) and without. It has one stream thread and a heap of 512 MiB, and is measured once it has
run for 5 s, since a JVM compiles first. What the broker takes meanwhile is measured beside.

Python's peers run in ``.venv-peers``, which is made from ``benchmarks/peers/requirements.txt`` if
missing. Kafka Streams is fetched by Maven and compiled into ``build/kafka_streams`` if missing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.options import parse_options
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import write_figures
from benchmarks.stream_state.measure import FULL, QUICK, measure
from benchmarks.stream_state.plot import draw
from benchmarks.stream_state.report import figures, show

PLOT = ROOT / "docs" / "stream_state.png"


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print the tables, write plot and JSON."""
    options = parse_options("stream_state", __doc__, argv)
    began = time.monotonic()
    size = QUICK if options.quick else FULL
    rounds = []
    for number in range(1 if options.quick else options.repeats):
        with tempfile.TemporaryDirectory(prefix="everfresh-bench-") as folder:
            rounds.append(measure(Path(folder), size, number))
    show(rounds)
    if not options.quick:
        draw(rounds, PLOT)
    write_figures(figures(rounds), began, options.json)


if __name__ == "__main__":
    main()

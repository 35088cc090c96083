"""Does a request fail, slow down or get an answer of mixed versions while new versions go live?

    python -m benchmarks.swap_storm [--quick] [--json FILE] [--swaps N] [--pace N] [--plot FILE]

Good: 0 failed, 0 mixed, a ``p99_ratio`` of 1 and a pause of 0 ms.

Real Kafka, stream worker, Ray, HAProxy and two replicas. A publisher process stands for the
trainer and writes a version with one per cent of its rows changed so many times a second; a
client process sends requests at a constant rate and keeps every answer. Segments alternate: in a
busy one every version goes live, in a calm one the publisher writes as many where nobody looks.
The publisher is killed -9 on the way, and so is each replica, one after the other was replaced;
connections that are kept are idle meanwhile and ask again then. Afterwards every answer is checked
from outside: its items and scores are computed again from the version it names.

The pause of a swap is taken from outside too: the slowest request within a tenth of a second of
the first answer by a new version, against the slowest around as many moments without a swap.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from benchmarks.swap_storm.measure import PACE, Course, measure
from benchmarks.swap_storm.plot import draw
from benchmarks.swap_storm.report import figures, show

_FAILURES_SHOWN = 5


def main(argv: Sequence[str] | None = None) -> None:
    """Run, check, report."""
    parser = option_parser("swap_storm", __doc__)
    parser.add_argument("--swaps", type=int, default=1_000, help="versions to go live")
    parser.add_argument("--pace", type=float, default=PACE, help="versions per second")
    parser.add_argument("--plot", type=Path, help="draw the latencies into this file")
    options = parser.parse_args(argv)
    began = time.monotonic()
    swaps, rounds = (60, 4) if options.quick else (options.swaps, min(10, options.swaps // 8))
    course = Course(swaps, rounds, options.pace)
    with tempfile.TemporaryDirectory() as name:
        outcome = measure(Path(name) / "home", course)
    results = figures(outcome, course.pace)
    show(results)
    failures = [answer.failure for answer in outcome.answers if answer.failure]
    for failure in failures[:_FAILURES_SHOWN]:
        print("failed:", failure)
    write_figures(results, began, options.json)
    if options.plot:
        draw(outcome, options.plot)


if __name__ == "__main__":
    main()

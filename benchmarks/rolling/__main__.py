"""Does a request fail, or is an event applied twice, when parts are restarted or upgraded in turn?

    python -m benchmarks.rolling [--older FOLDER] [--quick] [--json FILE]

Good: 0 failed requests, 0 wrong states, 0 faults of the windows.

Two homes with a Ray each stand for machines: one runs `everfresh up` (worker, trainer, replica),
the other `everfresh up --follow` (follower, replica). They meet in a Kafka and in a folder with
versions and snapshots. A load balancer (HAProxy) stands before their doors. Events go in and
requests go out all the while. The worker and the trainer's driver are killed, and then both homes
are restarted by turns, as docs/operate.md says. With `--older`, the checkout of an earlier release
whose dependencies are those of this one, both begin with that release, are upgraded in the order of
that page, and taken back in the other. At the end each user's state in both homes, and the windows,
are compared with the events in the log.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.options import option_parser
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import write_figures
from benchmarks.rolling.measure import measure
from benchmarks.rolling.report import figures, show
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.contracts.settings import load_settings

_CALM_S, _QUICK_CALM_S = 10.0, 3.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run and report."""
    parser = option_parser("rolling", __doc__, repeats=1)
    parser.add_argument(
        "--older", type=Path, metavar="FOLDER", help="a checkout of an earlier release"
    )
    options = parser.parse_args(argv)
    began = time.monotonic()
    data = options.data or fetch_ml100k(print)
    ratings = DATASETS["ml-100k"](data, event_check(load_settings().events))
    older = options.older.resolve() if options.older else ROOT
    with tempfile.TemporaryDirectory(prefix="ef-rolling-") as name:
        calm_s = _QUICK_CALM_S if options.quick else _CALM_S
        outcome = measure(Path(name), list(ratings), calm_s, older)
    show(outcome)
    write_figures(figures(outcome), began, options.json)


if __name__ == "__main__":
    main()

"""Is anything lost, doubled or wrong when broker and workers are killed again and again?

    python -m benchmarks.crash_storm [--quick] [--rounds N] [--seed N] [--lanes N] [--trainer]

Good: zeros. ``lost`` and ``duplicated`` count events in the states, ``windows_wrong`` whatever
breaks the tiling of the log by windows. ``late`` counts records whose label had been closed before
they could be read; they may be more than zero on a machine that stalls. Exits with 1 where anything
is wrong.

Real Kafka, real workers: two machines (homes) with two and one slots, one to three workers in one
group. Each round strikes one to three times while events come in: kill -9 of a worker or of the
broker, a worker added or taken away, a worker frozen beyond its session, a machine lost with its
state (snapshots, taken every 8 s, lie elsewhere). Then the log is drained, and a plain reading of
it (``plain.py``, JSON and dicts, nothing of ``everfresh.streaming``) says what every user's state,
every slice and every dead letter must be.

With ``--lanes`` several such groups, each with topics, homes and load of its own, run on the one
broker at once; killing it strikes all of them.

With ``--trainer`` a trainer reads the windows and is killed too. In the end another one, left in
peace, trains on the same topic, and ``versions_differ`` counts versions whose files are not the
same to the byte. Neither runs in Ray here: what is killed is the process that trains.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.crash_storm.measure import measure
from benchmarks.crash_storm.report import figures, show
from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures

QUICK_ROUNDS, ROUNDS = 3, 20


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, exit with 1 where anything is wrong."""
    parser = option_parser("crash_storm", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how many (--quick: 3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--lanes", type=int, default=1, help="rounds at a time, each a group of workers of its own"
    )
    parser.add_argument("--trainer", action="store_true", help="a trainer is killed as well")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="everfresh-storm-") as temporary:
        folder = options.keep or Path(temporary)
        rounds = QUICK_ROUNDS if options.quick else options.rounds
        lanes, trains = options.lanes, options.trainer
        findings = measure(rounds, options.seed, folder, lanes=lanes, trains=trains)
    show(findings)
    write_figures(figures(findings), began, options.json)
    sys.exit(0 if findings.clean else 1)


if __name__ == "__main__":
    main()

"""Does a request fail when a worker is killed, its machine is lost, and all restart?

    python -m benchmarks.cluster [--quick] [--store versity|moto] [--json FILE]

Good: 0 failed requests, 0 answers as to an unknown user, 0 wrong states.

Network namespaces stand for machines. A first one runs `everfresh up` (worker, trainer, replica).
Kafka asks for SASL_SSL; versions and snapshots lie in an object store that speaks S3; the machines
share no disk. A load balancer (HAProxy) stands before their doors. Events go in and requests go out
all the while. Then a second machine joins with `everfresh up --follow` (follower, replica), the
worker is killed, the first machine is lost, a third takes its place with a new disk, a version goes
live, each part is restarted (worker, trainer, follower, replica, door, serving), and both machines
are restarted in turn. At the end each user's state on both disks is compared with the events in the
log. Needs root, the programs ip, unshare and nsenter, and Go for the store.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.cluster.measure import measure
from benchmarks.cluster.network import enter
from benchmarks.cluster.report import figures, show
from benchmarks.cluster.store import MOTO, VERSITY, find_store
from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.jars import kafka_jars

_EVENTS = 90_000
_RATE, _QUICK_RATE = 300.0, 50.0
"""Events a second. Rates of a quick run leave time on a machine that is busy with other work."""

_CALM_S, _QUICK_CALM_S = 15.0, 4.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run and report."""
    parser = option_parser("cluster", __doc__)
    parser.add_argument(
        "--store", choices=(VERSITY, MOTO), default=VERSITY, help="the object store's server"
    )
    options = parser.parse_args(argv)
    # Inside there is no way out to fetch anything.
    data, settings = fetch_ml100k(print), load_settings()
    kafka_jars(settings.kafka.jars_url, print)
    store = find_store(options.store)
    enter("benchmarks.cluster", sys.argv[1:] if argv is None else argv)
    began = time.monotonic()
    ratings = DATASETS["ml-100k"](data, event_check(settings.events))
    with tempfile.TemporaryDirectory(prefix="ef-cluster-") as name:
        calm_s, rate = (_QUICK_CALM_S, _QUICK_RATE) if options.quick else (_CALM_S, _RATE)
        outcome = measure(Path(name), list(islice(ratings, _EVENTS)), rate, calm_s, store)
    show(outcome)
    write_figures(figures(outcome), began, options.json)


if __name__ == "__main__":
    main()

"""Does a request fail when a worker is killed, its machine is lost, and all restart by turns?

    python -m benchmarks.cluster [--quick] [--json FILE]

Good: 0 failed requests, 0 wrong states.

Network namespaces stand for machines. A first one runs `everfresh up` (worker, trainer, replica), a
second `everfresh up --follow` (follower, replica). They meet in a Kafka that asks for SASL_SSL and
in an object store that speaks S3, with versions and snapshots; they share no disk. A load balancer
(HAProxy) stands before their doors. Events go in and requests go out all the while. Then the worker
is killed, the first machine is lost, a third takes its place with a new disk, a version goes live,
and both machines are restarted in turn. At the end each user's state on both disks is compared with
the events in the log. Needs root, and the programs ip, unshare and nsenter.
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
from benchmarks.harness.options import parse_options
from benchmarks.harness.report import write_figures
from everfresh.adapters.files.checks import event_check
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.contracts.settings import load_settings
from everfresh.infra.broker.jars import kafka_jars

_EVENTS = 90_000
_CALM_S, _QUICK_CALM_S = 15.0, 4.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run and report."""
    options = parse_options("cluster", __doc__, argv)
    # Inside there is no way out to fetch anything.
    data, settings = fetch_ml100k(print), load_settings()
    kafka_jars(settings.kafka.jars_url, print)
    enter("benchmarks.cluster", sys.argv[1:] if argv is None else argv)
    began = time.monotonic()
    ratings = DATASETS["ml-100k"](data, event_check(settings.events))
    with tempfile.TemporaryDirectory(prefix="ef-cluster-") as name:
        calm_s = _QUICK_CALM_S if options.quick else _CALM_S
        outcome = measure(Path(name), list(islice(ratings, _EVENTS)), calm_s)
    show(outcome)
    write_figures(figures(outcome), began, options.json)


if __name__ == "__main__":
    main()

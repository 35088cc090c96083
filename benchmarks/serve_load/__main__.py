"""How many requests do replicas answer, and what is the overhead beside an empty endpoint?

    python -m benchmarks.serve_load [--quick] [--json FILE] [--repeats N]

Good: many requests per second, a large share of the echo (1 is no overhead), little CPU time per
request, a low p99, 0 failed.

Real HTTP from wrk, real user states in RocksDB, exposures written to a real broker. An empty Ray
Serve echo stands behind the same HAProxy. A second anchor is the same handler on two uvicorn
processes, behind an HAProxy of the same program: the echo without Ray. All take turns, so that a
slow moment of the machine meets each; ratios of neighbours count. The full run draws
``docs/serve_load.png``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.harness.options import parse_options
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import write_figures
from benchmarks.serve_load.measure import CONNECTIONS, ITEMS, USERS, measure
from benchmarks.serve_load.plot import draw
from benchmarks.serve_load.report import figures, show

PLOT = ROOT / "docs" / "serve_load.png"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, draw, write."""
    options = parse_options("serve_load", __doc__, argv)
    began = time.monotonic()
    users, seconds, repeats = (100, 2.0, 1) if options.quick else (USERS, 6.0, options.repeats)
    cached, uncached = measure(users, seconds, repeats)
    results = {**figures(cached, ""), **figures(uncached, "uncached_")}
    measured = {
        "with the user cache": cached,
        "without (every history is read anew)": uncached,
    }
    show(measured)
    if not options.quick:
        draw(measured, PLOT)
    conditions = {"items": ITEMS, "users": users, "connections": CONNECTIONS}
    write_figures({**results, **conditions}, began, options.json)


if __name__ == "__main__":
    main()

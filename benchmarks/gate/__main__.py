"""Does a bad window or a bad version reach users, and are good windows held by mistake?

    python -m benchmarks.gate [--quick] [--json FILE] [--plot FILE] [--data PATH] [--usual]

Good: no usual window held or rolled back, every poisoned one held, a version of noise rolled back
within few windows.

The product's own loop over MovieLens 100K (or another file by ``--format``) in windows of 2,500
events, with the default settings, the stores in memory. Three parts, ``--usual`` is the first:

1. usual     every window as it is: how many are held or rolled back (none should be)
2. poison    at several windows, each kind of poison in place of it: is it held? And what
             does it do to the windows after it? (Users' histories there are the true ones.)
3. rollback  a candidate is replaced by noise behind the gate's back: after how many windows is
             its parent live again, and what did the hit rate do meanwhile?
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gate.measure import EVENTS, measure, read_windows
from benchmarks.gate.plot import draw
from benchmarks.gate.report import figures, show
from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from everfresh.adapters.files.opening import FORMATS

_QUICK_WINDOWS = 12


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts, print tables and the flat JSON."""
    parser = option_parser("gate", __doc__)
    parser.add_argument("--format", choices=FORMATS, default="ml-100k")
    parser.add_argument("--limit", type=int, help="read so many events only")
    parser.add_argument("--events", type=int, default=EVENTS, help="events of a window")
    parser.add_argument("--usual", action="store_true", help="only the windows as they are")
    parser.add_argument("--plot", type=Path, help="draw there")
    options = parser.parse_args(argv)
    began, cpu = time.monotonic(), time.process_time()
    torch.set_num_threads(1)
    windows = read_windows(options.format, options.data, options.limit, options.events)
    if options.quick:
        windows = windows[:_QUICK_WINDOWS]
    results = measure(windows, quick=options.quick, usual_only=options.usual)
    show(results)
    if options.plot:
        draw(results.hit_rates, results.poisoned, results.noise, options.plot)
    cpu_s = round(time.process_time() - cpu, 1)
    write_figures({**figures(results), "cpu_s": cpu_s}, began, options.json)


if __name__ == "__main__":
    main()

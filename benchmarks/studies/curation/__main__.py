"""Which targets of a window are worth learning, and does what is measured of it say so?

    python -m benchmarks.studies.curation [--quick] [--json FILE] [--data PATH] [--seeds A,B]

Good: at 70 % of the tokens an HR@10 within 0.003 of learning all, and above a random choice of as
many; with bots and repeats clearly above both; measures that rank windows by what they are worth.

Backs decision 62. Three streams in windows of 2,000 events: one that drifts, the same with 30 % of
bots and repeats, MovieLens 100K. Each window is ranked, then learnt in part, by a rule: by chance,
what surprises the live version most or least, where it is behind counts, ``trainer.curate``
(``bounded``), or what nobody injected (``honest``). HR@10 is over what nobody injected. With
``--keep FOLDER`` what was run is kept there, and not run again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from benchmarks.studies.curation.measure import RULES, Case, measure
from benchmarks.studies.curation.report import figures, show
from benchmarks.studies.curation.streams import WINDOW, WINDOWS

_QUICK_SIZE = 3, 300
_QUICK = ("all", "chance", "bounded")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases, print tables and the flat JSON."""
    parser = option_parser("studies.curation", __doc__)
    parser.add_argument("--seeds", default="17", help="of the streams and of training")
    parser.add_argument("--streams", default=",".join(RULES), help="which of them")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="how many")
    parser.add_argument("--keep", type=Path, help="folder of results that are not run again")
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    streams = ["spoilt"] if options.quick else options.streams.split(",")
    cases = [
        Case(stream, rule, int(seed))
        for stream in streams
        for rule in (_QUICK if options.quick else RULES[stream])
        for seed in options.seeds.split(",")
    ]
    windows, size = _QUICK_SIZE if options.quick else (options.windows, WINDOW)
    kept, data = options.keep, options.data
    results = {case: measure(case, windows, size, kept, data) for case in cases}
    show(results)
    write_figures(figures(results), began, options.json)


if __name__ == "__main__":
    main()

"""Does learning period by period stay good over many periods, compared with published work?

    python -m benchmarks.continual --data FOLDER [--quick] [--json FILE] [--strategies A,B]
        [--work FOLDER] [--retrain-periods 3,7] [--plot FILE]

Good: Recall@20 and MRR@20 above ADER's 50.21 and 17.32, at a small share of a retrain's cost.

ADER's protocol (Mi, Lin, Faltings, RecSys 2020) on DIGINETICA. Period by period: learn period t
(0 to 15), then rank every click but the first of each session of period t + 1 among all items,
given the clicks before it. As in ADER's code, test items that no training period has brought are
dropped, and then sessions of one click; ``_all`` figures keep them, as misses. Recall@20 and MRR@20
are means over a period's clicks, then over the 16 periods.

``popularity``, ``markov`` and ``vmis-knn`` are strategies here too: opponents that learn by
counting. They are not among those that run by default.

A session is a user. Every strategy runs the trainer's own code (``trainer.learning.training``) with
the same network and seed. Cost is processor time of training (the machine may be shared) and
tokens; both count everything a strategy does between two periods, choosing exemplars included.

Retrain starts each period from nothing, with as many passes as the first period gets;
``--retrain-periods 3,7`` measures some of its periods and leaves the others. Cost and gain are
compared on the periods that were measured. ``--work`` keeps what is finished: a run that was killed
goes on there after its last whole period, and ends with the figures it would have had.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.continual.measure import PERIODS, STRATEGIES, measure, read_windows
from benchmarks.continual.plot import draw
from benchmarks.continual.report import ADER, figures, show
from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print the table, write the JSON."""
    parser = option_parser("continual", __doc__)
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="which, with commas")
    parser.add_argument("--work", type=Path, help="folder that keeps finished periods")
    parser.add_argument("--retrain-periods", default="", help="which of retrain; empty for all")
    parser.add_argument("--plot", type=Path, help="draw a PNG there")
    options = parser.parse_args(argv)
    if options.data is None:
        parser.error("--data is needed: the folder of DIGINETICA's periods as ADER cut them")
    began = time.monotonic()
    torch.set_num_threads(1)
    windows = read_windows(options.data)[: 4 if options.quick else PERIODS + 1]
    names = options.strategies.split(",")
    results = {name: measure(name, windows, options) for name in names}
    if options.plot:
        draw(results, ADER, options.plot)
    show(results)
    write_figures(figures(results), began, options.json)


if __name__ == "__main__":
    main()

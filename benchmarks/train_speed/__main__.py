"""How many events does one core train on per second, and how does plain PyTorch compare?

    python -m benchmarks.train_speed [--data ratings.dat] [--compile] [--quick] [--json FILE]
        [--repeats N] [--plot FILE]

Good: many tokens per second, and everfresh at least twice as fast as plain padded PyTorch.

All contenders take the same whole steps (forward, loss, backward, clipping, AdamW) on the same
batches, from the same weights, in turns on one thread. Only real tokens count. Speed is taken from
the process' own processor time, which other programs on the machine disturb less than the clock.
The ratio is the median over the repeats, each a comparison of neighbours in time.

Lengths: those of MovieLens 1M where ``--data`` names it, and Zipf (exponent 1.2, up to 200).
``--compile`` adds the plain network through ``torch.compile``, which needs a C++ compiler; what it
costs to be compiled is in its first pass, which is printed and counts in none of the figures. Ours
is no contender there: the graph breaks where tiles are cut by the lengths at hand, and a first pass
over three batches had not come to an end after two minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from benchmarks.train_speed.contenders import COMPILED, CONTENDERS
from benchmarks.train_speed.measure import measure, ml_1m_lengths, zipf_lengths
from benchmarks.train_speed.plot import draw
from benchmarks.train_speed.report import figures, show


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, draw."""
    parser = option_parser("train_speed", __doc__, repeats=5)
    parser.add_argument("--compile", action="store_true", help="with torch.compile as well")
    parser.add_argument("--plot", type=Path, help="draw the bars there")
    options = parser.parse_args(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    number, repeats = (3, 2) if options.quick else (6, options.repeats)
    contenders = (*CONTENDERS, COMPILED) if options.compile else CONTENDERS
    lengths = {"Zipf": zipf_lengths(20_000)}
    if options.data:
        lengths = {"MovieLens 1M": ml_1m_lengths(options.data), **lengths}
    speeds: dict[str, dict[str, list[float]]] = {}
    for where, each in lengths.items():
        speeds[where] = measure(each, number, repeats, contenders)
        show(where, speeds[where])
    if options.plot:
        draw(speeds, options.plot)
    write_figures(figures(speeds), began, options.json)


if __name__ == "__main__":
    main()

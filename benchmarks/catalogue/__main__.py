"""What does a window cost as the catalogue grows?

    python -m benchmarks.catalogue [--quick] [--json FILE] [--repeats N]

Good: a window of a million items costs at most 1.5 times what one of 10,000 costs, and its version
has at most 20 MB.

The default network on one thread, each size in a process of its own. Windows of 900 events by 300
users with histories of 60, of items drawn by chance, a few of them much oftener (the cube of an
even draw). All items were sighted twice before, so that none makes room. Seconds are the process'
own processor time: of ranking, by all that ranks for a window (what serves, its frozen ancestor,
the opponents, three parents on probation, the gate's look at the candidate), by all its targets or
a sample of them (``trainer.scoring.judged``); of ``train_window``, its steps, vocabulary and
trends; and of the version's index, which there is from ``weights.index_from`` items on. All are
these three together. They are medians
over the windows after the first, which has nothing to replay yet, and makes the first index. The
version's size is that of its tables' rows that changed, the opponents' among them; what else it
holds (the replay memory, the manifest) does not follow the catalogue. Memory is the process' peak.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.catalogue.measure import SIZES, measure
from benchmarks.catalogue.report import figures, show
from benchmarks.harness.options import parse_options
from benchmarks.harness.report import write_figures


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_options("catalogue", __doc__, argv)
    began = time.monotonic()
    sizes = SIZES[:2] if options.quick else SIZES
    costs = {size: measure(size, options.repeats) for size in sizes}
    show(costs)
    write_figures(figures(costs), began, options.json)


if __name__ == "__main__":
    main()

"""What shorter item rows (``weights.rows``) cost in accuracy, on MovieLens 100K.

The trainer's own loop makes a version of every 1,000 events, and each event is first asked for as a
replica would (``benchmarks._asked_before_learnt``). Every contender reads the same versions, with
item rows in float32, bfloat16 or eight bits, and its history through the rows it has. How many
bytes that saves, ``benchmarks.deltas`` tells.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks._asked_before_learnt import EVENTS, Contender, States, read, run
from benchmarks._harness import finish, parse_options, show
from everfresh.contracts.manifest import Rows
from everfresh.model.metrics import scores

KINDS: tuple[Rows, ...] = ("float32", "bf16", "int8")


def main(argv: Sequence[str] | None = None) -> None:
    """Train, ask, print, write."""
    options = parse_options(__doc__ or "", argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    versions, states = (3 if options.quick else 40), States()
    events, head = read(options.data, versions)
    contenders = {rows: Contender(states, rows=rows) for rows in KINDS}
    run(events, head, versions, states, contenders.values())
    exact = np.asarray(contenders["float32"].ranks)
    table, figures = [], {}
    for rows, one in contenders.items():
        ranks = np.asarray(one.ranks)
        measured, same = scores(ranks), float((ranks == exact).mean())
        table.append((rows, f"{measured['hr10']:.4f}", f"{measured['ndcg10']:.4f}", f"{same:.3f}"))
        figures |= {
            f"hr10_{rows}": round(measured["hr10"], 4),
            f"ndcg10_{rows}": round(measured["ndcg10"], 4),
            f"same_rank_{rows}": round(same, 4),
        }
    columns = ("rows", "HR@10", "NDCG@10", "of the same rank")
    show(f"{versions * EVENTS:,} events, a version every {EVENTS:,}", columns, table)
    finish({"events": versions * EVENTS, **figures}, began, options.json)


if __name__ == "__main__":
    main()

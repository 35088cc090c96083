"""Is the network as good as the published HSTU, when both are trained once on a fixed file?

    python -m benchmarks.offline --data ratings.dat [--model hstu] [--epochs N] [--seed N]
        [--published | --full] [--blocks N] [--heads N] [--epsilon X] [--rate X]
        [--resume-dir FOLDER] [--quick] [--json FILE] [--plot FILE]

Good: HR@10 and NDCG@10 at or above the published ones. SASRec is the control.

Leave-one-out on MovieLens 1M. The network, its loss, its optimizer and its ranking are the
product's own; the protocol is that of ``leave_one_out.py``. Sizes, temperature, dropout and length
are the published ones. Not as published: ratings are inputs, batches of 4,096 tokens instead of 128
users, a learning rate that falls along a cosine, which needs fewer epochs, and what ``--published``
puts in its place: order of ties, score and loss (``published.py``). ``--full`` is the same with a
softmax over all items. The options after it take the network and its training apart.

Each epoch is written to ``--resume-dir`` before the next begins. A run that was killed goes on
there and ends with the weights it would have had (same machine, same number of threads).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.options import option_parser
from benchmarks.harness.report import write_figures
from benchmarks.offline.measure import Training, measure
from benchmarks.offline.plot import draw
from benchmarks.offline.report import figures, show
from benchmarks.offline.runs import MODELS, Run, Variant

_QUICK_EPOCHS, _QUICK_USERS = 2, 300


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then report every run in the folder."""
    parser = option_parser("offline", __doc__)
    parser.add_argument("--model", choices=list(MODELS), default="hstu")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--published",
        action="store_true",
        help="order of ties, score and loss as the published code has them",
    )
    parser.add_argument(
        "--full", action="store_true", help="the same with a softmax over all items"
    )
    parser.add_argument("--blocks", type=int, default=0, help="instead of the model's own")
    parser.add_argument("--heads", type=int, default=0, help="instead of the model's own")
    parser.add_argument("--epsilon", type=float, default=0.0, help="of the norms (decision 55)")
    parser.add_argument("--rate", type=float, default=0.0, help="the highest learning rate")
    parser.add_argument("--test-every", type=int, default=2, help="epochs between tests")
    parser.add_argument("--resume-dir", type=Path, default=Path(".offline"))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--plot", type=Path, help="draw all runs of the folder there")
    options = parser.parse_args(argv)
    if options.data is None:
        parser.error("--data is needed: ratings.dat of MovieLens 1M")
    if options.full and options.published:
        parser.error("--full and --published are two losses: choose one")
    loss = "full" if options.full else "published" if options.published else "product"
    variant = Variant(loss, options.blocks, options.heads, options.epsilon, options.rate)
    began = time.monotonic()
    epochs = _QUICK_EPOCHS if options.quick else options.epochs
    limit = _QUICK_USERS if options.quick else None
    name = f"{options.model}-seed{options.seed}-epochs{epochs}"
    name += variant.name + ("-quick" if limit else "")
    name += "" if options.device == "cpu" else f"-{options.device}"
    run = Run.open(options.resume_dir / name, options.model)
    if len(run.epochs) < epochs:
        training = Training(
            options.model,
            options.seed,
            options.data,
            limit,
            variant=variant,
            device=options.device,
        )
        measure(training, run, epochs, options.test_every)
    show(options.resume_dir)
    if options.plot:
        draw(options.resume_dir, options.plot)
    write_figures(figures(run), began, options.json)


if __name__ == "__main__":
    main()

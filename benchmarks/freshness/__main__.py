"""How long is it from an event until answers know it, and until the model has learned from it?

    python -m benchmarks.freshness [--quick] [--json FILE] [--rate N] [--seconds S]

Good: few seconds from accepted to live, few milliseconds until an answer's history has a new event,
0 failed requests.

The real loop, as `everfresh up` starts it: embedded Kafka, stream worker, trainer, two replicas
behind HAProxy, requests all the while. MovieLens 100K is replayed at ``--rate`` events a second.
Of every event: produced -> accepted by the broker -> its window complete at the trainer -> trained
(scored before, written after) -> the version live on all replicas. Beside it, how long a new event
takes to be part of the history that an answer is made from. The full run draws
``docs/freshness.png``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.freshness.measure import measure
from benchmarks.freshness.plot import draw
from benchmarks.freshness.report import figures, show
from benchmarks.harness.options import option_parser
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import write_figures
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.contracts.settings import load_settings
from everfresh.infra.processes.children import StepUpdate
from everfresh.infra.supervisor import Supervisor

PLOT = ROOT / "docs" / "freshness.png"
_QUICK_S = 25.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run, report, draw."""
    parser = option_parser("freshness", __doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the replay")
    options = parser.parse_args(argv)
    began = time.monotonic()
    seconds = _QUICK_S if options.quick else options.seconds
    interrupts = Interrupts()
    interrupts.install()
    with tempfile.TemporaryDirectory() as name:
        settings = load_settings({"home": Path(name) / "home"})
        with Supervisor(settings, interrupts, _print_note) as run:
            run.start()
            samples, counts = measure(run, options.rate, int(options.rate * seconds))
    show(samples, counts, options.rate)
    if not options.quick:
        draw(samples, options.rate, PLOT)
    write_figures({"rate": options.rate, **counts, **figures(samples)}, began, options.json)


def _print_note(note: StepUpdate) -> None:
    print(note.step, note.what, note.text)


if __name__ == "__main__":
    main()

"""The gate: do usual windows pass, is poison held, is a bad version rolled back?

    python -m benchmarks.gate [--quick] [--json FILE] [--plot FILE] [--data PATH] [--usual]

The product's own loop over MovieLens 100K (or another file by ``--format``) in windows of 2,500
events, with the default settings, the stores in memory. Three parts, ``--usual`` is the first:

1. usual     every window as it is: how many are held or rolled back (none should be)
2. poison    at several windows, each kind of poison in place of it: is it held? And what
             does it do to the windows after it? (Users' histories there are the true ones.)
3. rollback  a candidate is replaced by noise behind the gate's back: after how many windows is
             its parent live again, and what did the hit rate do meanwhile?
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks._gate_plot import draw
from benchmarks._gate_runs import (
    Bench,
    Noise,
    Poisoned,
    hit_rates,
    run_noise,
    run_poisoned,
)
from benchmarks._harness import add_options, finish, show
from benchmarks._poison import POISONS, poisoned
from everfresh.adapters.files.datasets import DATASETS, fetch_ml100k
from everfresh.contracts.settings import load_settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.file_windows import by_count, cut_windows

EVENTS = 2_500
FOLLOW = 4
"""Windows that are learnt after a poisoned one; a trial takes three."""
NOISE_STEPS = 9


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    add_options(parser)
    parser.add_argument("--format", choices=list(DATASETS), default="ml-100k")
    parser.add_argument("--limit", type=int, help="read so many events only")
    parser.add_argument("--events", type=int, help=f"events of a window, {EVENTS} unless told")
    parser.add_argument("--usual", action="store_true", help="only the windows as they are")
    parser.add_argument("--plot", type=Path, help="draw there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts, print tables and the flat JSON."""
    options = parse(argv)
    began, cpu = time.monotonic(), time.process_time()
    torch.set_num_threads(1)
    windows = _windows(options)
    places = [8] if options.quick else list(range(4, len(windows) - FOLLOW, 4))
    places = [] if options.usual else places
    usual = Bench(load_settings({"home": ".", "weights": {"keep": 1000}}), windows)
    before: dict[int, Bench] = {}
    for at, following in itertools.pairwise([0, *places, len(windows)]):
        before[at] = usual.copy(windows)
        loop = usual.run(following - at)
        print(f"before window {following}: version {loop.figures.version}", flush=True)
    del before[0]
    curve = hit_rates(usual.told()[1:])
    figures = _usual(usual)
    poison, noise = _poison(before, curve), _noise(before, places[1::2] or places)
    if not options.usual:
        figures |= _poison_figures(poison) | _noise_figures(noise, curve)
    if options.plot:
        draw(curve, poison, noise, options.plot)
    figures["cpu_s"] = round(time.process_time() - cpu, 1)
    finish(figures, began, options.json)


def _windows(options: argparse.Namespace) -> list[TrainingWindow]:
    file = DATASETS[options.format](options.data or fetch_ml100k())
    number = min(len(file), options.limit or len(file))
    events = itertools.islice(file, number)
    size = options.events or EVENTS
    windows = list(cut_windows(events, by_count(number, -(-number // size), 0.0), 200))
    return windows[:12] if options.quick else windows


def _usual(bench: Bench) -> dict[str, Any]:
    held = [one for one in bench.told() if one.held]
    show("usual windows held", ("window", "gate"), [(one.label, one.held) for one in held])
    return {
        "windows": len(bench.windows),
        "usual_held": len(held),
        "usual_rolled_back": bench.epoch - 1,
    }


def _poison(before: dict[int, Bench], usual: dict[int, float]) -> list[Poisoned]:
    found = []
    for (kind, poison), (at, bench) in itertools.product(POISONS.items(), before.items()):
        changed = list(bench.windows)
        changed[at] = poisoned(changed[at], poison, at)
        found.append(run_poisoned(kind, bench.copy(changed), at, usual, FOLLOW))
    return found


def _poison_figures(found: Sequence[Poisoned]) -> dict[str, Any]:
    rows = [
        (
            one.kind,
            one.window,
            "held" if one.held else "rolled back" if one.rolled_back else "let through",
            f"{one.live:.4f} {one.popularity:.4f}",
            " ".join(f"{value:+.4f}" for value in one.harm),
        )
        for one in found
    ]
    columns = ("poison", "window", "gate", "live, popularity", "HR@10 after it")
    show("a poisoned window in place of a usual one", columns, rows)
    figures: dict[str, Any] = {"poisoned_each": len(found) // len(POISONS)}
    for kind in POISONS:
        name, ones = kind.replace(" ", "_"), [one for one in found if one.kind == kind]
        figures[f"{name}_held"] = sum(bool(one.held) for one in ones)
    for name, held in (("held", True), ("let_through", False)):
        harm = [value for one in found if bool(one.held) is held for value in one.harm]
        figures[f"{name}_mean_change"] = round(sum(harm) / max(1, len(harm)), 5)
    figures["poison_rolled_back"] = sum(one.rolled_back for one in found)
    return figures


def _noise(before: dict[int, Bench], places: Sequence[int]) -> list[Noise]:
    return [run_noise(before[at].copy(before[at].windows), at, NOISE_STEPS) for at in places]


def _noise_figures(found: Sequence[Noise], usual: dict[int, float]) -> dict[str, Any]:
    for one in found:
        rows = [(at, "with noise", value) for at, value in one.served.items()]
        rows += [(at, "rolled back", value) for at, value in one.after.items()]
        show(
            f"candidate of window {one.window} replaced by noise; given up on {one.decided}",
            ("window", "", "HR@10", "HR@10 undisturbed"),
            [(at, words, f"{value:.4f}", f"{usual[at]:.4f}") for at, words, value in rows],
        )
    back = [one for one in found if one.decided is not None]
    worst = [value for one in found for at, value in one.served.items() if at > one.window]
    first = found[0]
    return {
        "noise_let_through": len(found),
        "rolled_back": len(back),
        "windows_until_rollback": max((one.decided or 0) - one.window for one in back or found),
        "hr10_before": first.served[first.window],
        "hr10_lowest": min(worst, default=0.0),
        "hr10_after": next(iter(first.after.values()), 0.0),
    }


if __name__ == "__main__":
    main()

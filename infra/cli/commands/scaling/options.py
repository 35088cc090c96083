# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh scaling-law``: the command with its options; ``law`` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everfresh.infra.cli.file_options import (
    AskedReading,
    EventFile,
    name_in_home,
    with_file_options,
)
from everfresh.infra.cli.options import (
    MOST,
    Config,
    FiguresFile,
    FirstEvents,
    Home,
    PlotFile,
    finite,
    load,
)

_MOST_PREFIXES = 16


@with_file_options
def scaling_law(  # noqa: PLR0913, PLR0917  (every option is one word of the command line)
    file: EventFile,
    asked: AskedReading,
    sizes: Annotated[
        str,
        typer.Option(
            metavar="SIZES",
            help="Four or more sizes of the network with commas between them, each as "
            "WIDTHxBLOCKS (model.dim and model.blocks).",
        ),
    ] = "16x1,32x2,64x2,128x4",
    prefixes: Annotated[
        int,
        typer.Option(
            min=4,
            max=_MOST_PREFIXES,
            metavar="N",
            help="How many stretches of events to learn, all from the first event on; each is "
            "half the next.",
        ),
    ] = 4,
    seeds: Annotated[
        int, typer.Option(min=2, max=100, metavar="N", help="How often to train each of them.")
    ] = 2,
    passes: Annotated[
        int,
        typer.Option(
            min=1, max=1000, metavar="N", help="Passes over a stretch; measured after each."
        ),
    ] = 4,
    window: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=0.5,
            callback=finite,
            metavar="SHARE",
            help="Share of all events (0.01 to 0.5), the last ones, that losses are measured on.",
        ),
    ] = 0.1,
    budget: Annotated[
        float,
        typer.Option(
            min=0.0,
            callback=finite,
            metavar="SECONDS",
            help="Processor time that a training may take, for the advice; 0: any.",
        ),
    ] = 0.0,
    limit: FirstEvents = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST, metavar="N", help="The first of the seeds.")
    ] = 17,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Where to keep finished trainings. Default: in the home, by the file's name.",
        ),
    ] = None,
    json: FiguresFile = None,
    plot: PlotFile = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what would be trained and how long that takes."),
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Measure how the loss falls with the network's size and with events.

    Trains networks of several sizes on stretches of a file's events, and measures all of them on
    the same later events. Then it fits a scaling law, tries it on the largest trainings, and
    advises on size and passes. It says beforehand how long it takes. Stopped and run again, it goes
    on where it stopped. Needs no Kafka and no run.
    """
    settings = load(home, config)
    from everfresh.contracts.errors import SettingsError
    from everfresh.infra.cli.commands.scaling.law import Request, run_scaling_law

    kept = folder or settings.home.resolve() / "scaling-law" / name_in_home(file)
    if kept.exists() and not kept.is_dir():
        raise SettingsError(f"--folder {kept} is no folder; name one, which need not be there")
    numbers = {
        "--sizes": sizes,
        "--prefixes": prefixes,
        "--seeds": seeds,
        "--passes": passes,
        "--window": window,
        "--budget": budget,
        "--limit": limit,
        "--seed": seed,
        "--folder": kept.absolute(),
    }
    request = Request(file, asked(settings, file), numbers, check)
    run_scaling_law(settings, request, json, plot)

# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh evaluate``: the command with its options; ``evaluate`` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from everfresh.infra.cli.file_options import AskedReading, EventFile, with_file_options
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


@with_file_options
def evaluate(  # noqa: PLR0913, PLR0917  (every option is one word of the command line)
    file: EventFile,
    asked: AskedReading,
    strategies: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Strategies to compare, with commas between them: frozen, finetune, replay, "
            "distill, ewc, retrain. replay:herding and replay:loss choose examples as ADER does.",
        ),
    ] = "frozen,finetune,replay",
    against: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Contender that the others are compared with, user by user: a strategy that runs, "
            "popularity, markov, vmis-knn, or best: the best of these three by each metric.",
        ),
    ] = "frozen",
    windows: Annotated[
        int,
        typer.Option(
            min=2, max=MOST, metavar="N", help="Cut the file into N windows of equally many events."
        ),
    ] = 50,
    window_s: Annotated[
        float,
        typer.Option(
            "--window-s",
            min=0.0,
            callback=finite,
            metavar="SECONDS",
            help="Cut into windows of SECONDS instead; 0 does not.",
        ),
    ] = 0.0,
    first: Annotated[
        float,
        typer.Option(
            min=0.0,
            callback=finite,
            max=0.95,
            metavar="SHARE",
            help="Share of all events (0 to 0.95) that the first window has; 0: as the others.",
        ),
    ] = 0.0,
    limit: FirstEvents = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST, metavar="N", help="Seed of every random choice.")
    ] = 17,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Rank only items that are new to the user.")
    ] = False,
    items: Annotated[
        Path | None,
        typer.Option(
            "--items",
            metavar="FILE",
            help="A catalogue as `everfresh items load` takes it: items without events are ranked "
            "too, by what they are.",
        ),
    ] = None,
    json: FiguresFile = None,
    plot: PlotFile = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what would be read and what is wrong."),
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Compare training strategies on a file of events.

    Each window of events is scored before it is trained on. Needs no Kafka and no run. The
    training is the live trainer's, with the settings of the groups model and trainer.
    """
    settings = load(home, config)
    if check:
        from everfresh.contracts.errors import SettingsError
        from everfresh.infra.cli.commands.check_file import run_check

        if limit:
            raise SettingsError("--check looks at all rows of the file: leave --limit out")
        run_check(settings, file, asked(settings, file))
        return
    from everfresh.infra.cli.commands.evaluate import Request, run_evaluate

    request = Request(
        file,
        asked(settings, file),
        strategies,
        against,
        windows,
        window_s,
        first,
        limit,
        seed,
        exclude_seen,
        items,
    )
    run_evaluate(settings, request, json, plot)

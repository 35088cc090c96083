# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh demo``, as the command line has it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from everfresh.infra.cli.options import (
    MOST,
    Config,
    Home,
    ServersToJoin,
    events_per_second,
    given,
    load,
)


class DemoData(StrEnum):
    """What the demo replays."""

    MOVIELENS = "movielens"
    DRIFTING = "drifting"


def demo(
    data: Annotated[
        DemoData,
        typer.Option(
            help="What to replay: MovieLens 100K ratings, or made-up clicks on items that come and "
            "go within hours (docs/drifting.md)."
        ),
    ] = DemoData.MOVIELENS,
    events: Annotated[
        int,
        typer.Option(
            min=2000,
            max=MOST,
            metavar="N",
            help="Replay only the first N events. MovieLens 100K has 100,000.",
        ),
    ] = 40_000,
    speed: Annotated[
        float, events_per_second("chooses a speed that ends within three minutes")
    ] = 0.0,
    experiment: Annotated[
        bool,
        typer.Option(
            "--experiment",
            help="Compare the live model with one that is frozen early, by simulated clicks, and "
            "show the report.",
        ),
    ] = False,
    servers: ServersToJoin = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show the loop at work on a stream of events.

    Starts the loop, replays the events while it answers requests, prints and draws what came of
    it, and stops everything that it started. It works in the folder `demo` below --home, which it
    empties each time.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.demo.demo import run_demo

    run_demo(settings, events, speed, drifting=data is DemoData.DRIFTING, experiment=experiment)

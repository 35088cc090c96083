# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""The commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.board.command import board
from everfresh.infra.cli.commands.dlq import dlq
from everfresh.infra.cli.commands.evaluate_options import evaluate
from everfresh.infra.cli.commands.experiment.group import experiment
from everfresh.infra.cli.commands.generate import generate
from everfresh.infra.cli.commands.items.group import items
from everfresh.infra.cli.commands.scaling.options import scaling_law
from everfresh.infra.cli.commands.sending.options import backfill, replay
from everfresh.infra.cli.commands.tracks.group import tracks
from everfresh.infra.cli.demo.command import demo
from everfresh.infra.cli.options import (
    MOST,
    Config,
    Home,
    OfTrack,
    Servers,
    ServersToJoin,
    User,
)
from everfresh.infra.cli.options import given as _given
from everfresh.infra.cli.options import load as _settings

app = typer.Typer(
    help="A Kafka stream of user events keeps a generative recommender seconds old.\n\n"
    "The loop is Kafka, a stream worker, a trainer, and the replicas that answer requests. Begin "
    "with `everfresh demo`, or with `everfresh up` and `everfresh replay FILE`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(dlq, name="dlq")
app.add_typer(experiment, name="experiment")
app.add_typer(items, name="items")
app.add_typer(tracks, name="tracks")


@app.command()
def up(
    servers: ServersToJoin = "",
    ray_address: Annotated[
        str,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="Ray cluster to join. Default: start one here.",
        ),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Start replicas and a follower of the users' state alone, for a loop that runs on "
            "another machine.",
        ),
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Start the loop and keep it running until Ctrl-C.

    A part that dies is started again. `everfresh down` stops the loop from another terminal.
    """
    settings = _settings(
        home,
        config,
        kafka=_given(bootstrap_servers=servers),
        ray=_given(address=ray_address),
        follower={"enabled": True} if follow else {},
    )
    from everfresh.infra.cli.commands.up import run_up

    run_up(settings)


app.command()(replay)
app.command()(backfill)
app.command()(demo)
app.command()(evaluate)
app.command(name="scaling-law")(scaling_law)
app.command()(generate)


@app.command()
def contract(
    topic: Annotated[
        str,
        typer.Argument(metavar="[TOPIC]", help="events, exposures or outcomes. Default: all."),
    ] = "",
    config: Config = None,
) -> None:
    """Print what other programs write to Kafka and read from it.

    Without a topic it is an AsyncAPI 3.0 document of the topics, keys, headers and values. With one
    it is the JSON Schema of that topic's values. Both say what these settings say: the topic
    prefix, the event types, the limits. Asks no Kafka.
    """
    settings = _settings(None, config)
    from everfresh.infra.cli.commands.topics.contract import run_contract

    run_contract(settings, topic)


@app.command()
def bridge(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Source, as in [sources.NAME].")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Only show what would come of the newest records."),
    ] = False,
    index: Annotated[
        int,
        typer.Option(
            "--index", min=0, max=MOST, metavar="N", help="Number of this bridge, if several run."
        ),
    ] = 0,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Turn the records of a source's topic into events, each exactly once.

    `everfresh up` runs a bridge for each source of the settings; this runs one by itself, until
    Ctrl-C. docs/bring-your-data.md shows how to describe a source.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.topics.bridge import run_bridge, run_check

    if check:
        run_check(settings, name)
    else:
        run_bridge(settings, name, index)


@app.command()
def recommend(
    user: User,
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, max=MOST, metavar="N", help="How many items.")
    ] = 10,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Also show items that the user has seen.")
    ] = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Also show which of the user's last 20 events moved each score most, and by how "
            "much: each item is scored again without each event. Takes some seconds.",
        ),
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Ask a loop that is up for a user's recommendations."""
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.recommend import run_recommend

    run_recommend(settings, user, k, exclude_seen=not keep_seen, why=why)


@app.command()
def state(
    user: User,
    last: Annotated[
        int,
        typer.Option(
            "--last", min=0, max=MOST, metavar="N", help="Show only the newest N; 0 shows all."
        ),
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show the events known of a user, and whether any are missing.

    Reads the stream worker's state on this machine, while it runs and after it has stopped.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.state import run_state

    run_state(settings, user, last, as_json=as_json)


@app.command()
def status(servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """Show what runs, how far behind, and how fresh it is.

    Lists the parts with their figures, the last windows with their scores, and the time from an
    event to a model that has learned from it.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.status import run_status

    run_status(settings)


app.command()(board)


@app.command()
def rollback(
    version: Annotated[
        int,
        typer.Argument(
            min=1,
            max=MOST,
            metavar="VERSION",
            help="Version to go back to; `everfresh versions` lists them.",
        ),
    ],
    track: OfTrack = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Make an earlier version of the weights current again.

    All replicas swap to it. The trainer goes on from it, and does not train the windows between
    again.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.rollback import run_rollback

    run_rollback(settings, version, track)


@app.command()
def versions(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    track: OfTrack = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """List the weights' versions and what became of them.

    Shows for each version its parent, time, scores, size, and whether it is current or was rolled
    back; then the windows that the trainer's gate held (stopped). Works without a run as well.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.versions import run_versions

    run_versions(settings, track, as_json=as_json)


@app.command()
def down(home: Home = None, config: Config = None) -> None:
    """Stop a loop that `everfresh up` started.

    Also ends the processes of a run that was killed.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.down import run_down

    run_down(settings)


@app.command()
def settings(home: Home = None, config: Config = None) -> None:
    """Print all settings: value, meaning, when to change."""
    current = _settings(home, config)
    from everfresh.infra.cli.commands.settings import run_settings

    run_settings(current)

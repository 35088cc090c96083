# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)

"""The commands of ``everfresh tracks`` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.options import Config, Home, Servers, given, load

tracks = typer.Typer(
    help="Train and serve models beside the default one.\n\n"
    "A track is a line of versions with settings of its own. All tracks read the same windows. An "
    "experiment's arm names the track that answers for it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the track.")]


@tracks.command("list")
def list_tracks(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show all tracks, and what each costs.

    Works while a run is up and after it; what a track costs to train is known while one is up.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.tracks.show import run_list

    run_list(settings, as_json=as_json)


@tracks.command()
def start(
    name: Name,
    origin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TRACK[:VERSION]",
            help="What to start from: a track's current version, a version of it, or `nothing`. "
            "Default: the default track.",
        ),
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the groups trainer, model or gate that this track has a value of "
            "its own for; once for each. All others are those of the track it starts from.",
        ),
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Do not train it: it stays the version it starts from.")
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Start a track, or go on with one that was frozen or ended.

    The trainer takes it up within seconds, and replicas serve it. Nobody is answered by it before
    an experiment's arm names it: `everfresh experiment start NAME --arm control --arm new@TRACK`.
    """
    settings = load(home, config)
    from everfresh.infra.cli.commands.tracks.change import run_start

    run_start(settings, name, origin, changes or [], frozen=frozen)


@tracks.command()
def freeze(name: Name, home: Home = None, config: Config = None) -> None:
    """Train a track no more; replicas go on to serve it.

    It is a holdout: the model as it was. `everfresh tracks start NAME` goes on with it.
    """
    settings = load(home, config)
    from everfresh.infra.cli.commands.tracks.change import run_freeze

    run_freeze(settings, name)


@tracks.command()
def promote(name: Name, servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """Make a track's current version the default track's next one.

    The default track goes on from it, with its settings. `everfresh rollback` undoes it. The track
    itself goes on too, until you end it.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.tracks.change import run_promote

    run_promote(settings, name)


@tracks.command()
def end(
    name: Name,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Also delete its versions; this cannot be undone."),
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Train and serve a track no more.

    Its versions are kept, and `everfresh tracks start NAME` goes on with it, unless you delete
    them. A track that a running experiment names is not ended.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.tracks.change import run_end

    run_end(settings, name, delete=delete)

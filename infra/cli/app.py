# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""The commands and their options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from everfresh.infra.cli.commands.dlq import dlq
from everfresh.infra.cli.options import Config, Home, Servers
from everfresh.infra.cli.options import given as _given
from everfresh.infra.cli.options import load as _settings

app = typer.Typer(
    help="A Kafka stream of user events keeps a generative recommender seconds old.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(dlq, name="dlq")


class Format(StrEnum):
    """File formats that ``replay`` reads."""

    ML_100K = "ml-100k"
    ML_1M = "ml-1m"
    ADER = "ader"
    JSONL = "jsonl"


@app.command()
def up(
    servers: Servers = "",
    ray_address: Annotated[
        str, typer.Option("--ray-address", help="Ray cluster to join, host:port.")
    ] = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Start the loop; stays up until Ctrl-C.

    `everfresh down` stops it from another terminal.
    """
    settings = _settings(
        home, config, kafka=_given(bootstrap_servers=servers), ray=_given(address=ray_address)
    )
    from everfresh.infra.cli.commands.up import run_up

    run_up(settings)


@app.command()
def demo(
    events: Annotated[
        int, typer.Option(min=2000, help="Replay only the first N events of MovieLens 100K.")
    ] = 40_000,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Events per second; 0 finds one from the time budget.")
    ] = 0.0,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Run the loop on MovieLens 100K.

    Its own folder, demo, lies in the home and is made anew each time.
    Shows what it does while it runs, and stops everything it started.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.demo.demo import run_demo

    run_demo(settings, events, speed)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Event file, as its publisher ships it.")],
    form: Annotated[Format, typer.Option("--format", help="Format of the file.")],
    speed: Annotated[
        float, typer.Option(min=0.0, help="Events per second; 0 is as fast as possible.")
    ] = 0.0,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Send a file of events, in its order.

    Uses the public producer client, against a running loop or a named Kafka.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.replay import run_replay

    run_replay(settings, file, form.value, speed)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917  (every option is one word of the command line)
    file: Annotated[Path, typer.Argument(help="Event file, as its publisher ships it.")],
    form: Annotated[Format, typer.Option("--format", help="Format of the file.")],
    strategies: Annotated[
        str, typer.Option(help="Which, with commas; replay:herding chooses the exemplars.")
    ] = "frozen,finetune,replay",
    against: Annotated[
        str, typer.Option(help="The contender that the others' margins are over.")
    ] = "frozen",
    windows: Annotated[int, typer.Option(min=2, help="Windows of as many events each.")] = 50,
    window_s: Annotated[
        float, typer.Option("--window-s", min=0.0, help="Windows of this many seconds instead.")
    ] = 0.0,
    first: Annotated[
        float, typer.Option(min=0.0, max=0.95, help="Share of all events in the first window.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Only the first N events.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 17,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Rank only items new to the user.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw a PNG there.")] = None,
    home: Home = None,
    config: Config = None,
) -> None:
    """Compare strategies of learning on a file.

    Test, then train: each window of events is ranked before it is learnt. No Kafka is needed; the
    code that learns is the live trainer's, with its settings.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.evaluate import Request, run_evaluate

    request = Request(
        file, form.value, strategies, against, windows, window_s, first, limit, seed, exclude_seen
    )
    run_evaluate(settings, request, json, plot)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="User id; 42 is a number, '\"42\"' a text.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items.")] = 10,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Also items the user has had already.")
    ] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Ask the loop for a user's recommendations."""
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.recommend import run_recommend

    run_recommend(settings, user, k, exclude_seen=not keep_seen)


@app.command()
def state(
    user: Annotated[str, typer.Argument(help="User id; 42 is a number, '\"42\"' a text.")],
    last: Annotated[int, typer.Option("--last", min=0, help="Only the newest N; 0 for all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show a user's sequence, and how new it is.

    Reads the worker's state beside it; works after it has stopped as well.
    """
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.state import run_state

    run_state(settings, user, last, as_json=as_json)


@app.command()
def status(servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """Show components, lag, versions, freshness."""
    settings = _settings(home, config, kafka=_given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.status import run_status

    run_status(settings)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(help="The version to go back to; see `versions`.")],
    home: Home = None,
    config: Config = None,
) -> None:
    """Make an earlier version the current one.

    Replicas swap at once; a running trainer goes on from it and does not undo it.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.rollback import run_rollback

    run_rollback(settings, version)


@app.command()
def versions(
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """List weights versions and what the gate held.

    With lineage, time, scores, size, and which one is current or was rolled back.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.versions import run_versions

    run_versions(settings, as_json=as_json)


@app.command()
def down(home: Home = None, config: Config = None) -> None:
    """Stop the loop that `everfresh up` keeps up.

    Ends what a killed one left behind as well.
    """
    settings = _settings(home, config)
    from everfresh.infra.cli.commands.down import run_down

    run_down(settings)


@app.command()
def settings(home: Home = None, config: Config = None) -> None:
    """Print every setting, its value and meaning."""
    found = _settings(home, config)
    from everfresh.infra.cli.commands.settings import run_settings

    run_settings(found)

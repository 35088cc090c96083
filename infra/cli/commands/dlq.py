# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
# ruff: noqa: PLR0913, PLR0917  (a command's arguments are its options)
"""``everfresh dlq``: the commands for dead letters, and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.options import MOST, Config, Home, Servers, given, load

dlq = typer.Typer(
    help="List events that were not accepted; send them again.\n\n"
    "An event that cannot be accepted goes to the dead-letter topic, with its original bytes and "
    "the reason. There it is called a dead letter.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="REASON", help="Only those with this reason, such as unknown_type."
    ),
]
Topic = Annotated[
    str, typer.Option("--topic", metavar="TOPIC", help="Only those that came from this topic.")
]
Number = Annotated[
    int,
    typer.Option(
        "--partition",
        min=-1,
        max=MOST,
        metavar="N",
        help="Only those that came from this partition; -1 takes all.",
    ),
]
Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only those rejected since then: 90s, 30m, 12h or 7d ago, or 2026-01-31T12:00 (UTC).",
    ),
]
_PLACE = "PARTITION:OFFSET in the dead-letter topic, as `everfresh dlq list` shows it"


@dlq.command("list")
def list_dead_letters(
    reason: Reason = "",
    topic: Topic = "",
    partition: Number = -1,
    since: Since = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST, metavar="N", help="How many to show at most.")
    ] = 20,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="Show the oldest ones instead of the newest.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show which events were not accepted, and why."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import run_list, selection

    chosen = selection(reason, topic, partition, since)
    run_list(settings, chosen, limit, oldest=oldest, as_json=as_json)


@dlq.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help=f"{_PLACE}.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write only the original bytes, as they are.")
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show one dead letter in full: headers, key and value."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import run_show

    run_show(settings, place, raw=raw)


@dlq.command()
def redrive(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="PLACE", help=f"The ones to send: {_PLACE}."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Send all that the other options leave.")
    ] = False,
    reason: Reason = "",
    topic: Topic = "",
    partition: Number = -1,
    since: Since = "",
    again: Annotated[
        bool, typer.Option("--again", help="Also send those that were sent before.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really send; without it they are only counted.")
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Send dead letters back to the topic they came from.

    Choose them by place, by --reason, or with --all. Each is sent once, with its original bytes;
    one that is refused again becomes a new dead letter.
    """
    if not (places or everything or reason):
        raise typer.BadParameter("choose dead letters by place, by --reason, or with --all")
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import selection
    from everfresh.infra.cli.commands.dlq_redrive import run_redrive

    chosen = selection(reason, topic, partition, since, places or [])
    run_redrive(settings, chosen, again=again, act=yes)

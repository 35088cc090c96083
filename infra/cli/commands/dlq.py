# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
# ruff: noqa: PLR0913, PLR0917  (a command's arguments are its options)
"""The commands for dead letters, and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.options import Config, Home, Servers, given, load

dlq = typer.Typer(
    help="List dead letters, and send them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Reason = Annotated[str, typer.Option("--reason", help="Only those rejected for this reason.")]
Topic = Annotated[str, typer.Option("--topic", help="Only those that came from this topic.")]
Number = Annotated[
    int, typer.Option("--partition", min=-1, help="Only those of this partition there; -1 for all.")
]
Since = Annotated[
    str, typer.Option("--since", help="Only newer ones: 90s, 30m, 12h, 7d, or 2026-01-31T12:00.")
]
Place = Annotated[
    str, typer.Argument(help="Where the letter stands, PARTITION:OFFSET, as `list` shows it.")
]


@dlq.command("list")
def list_letters(
    reason: Reason = "",
    topic: Topic = "",
    partition: Number = -1,
    since: Since = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show.")] = 20,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest instead of the newest.")] = (
        False
    ),
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object per line.")] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show what was not accepted, and why."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import run_list, selection

    chosen = selection(reason, topic, partition, since)
    run_list(settings, chosen, limit, oldest=oldest, as_json=as_json)


@dlq.command()
def show(
    place: Place,
    raw: Annotated[bool, typer.Option("--raw", help="Only the original bytes, as they are.")] = (
        False
    ),
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show one letter whole: headers, key and value."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import run_show

    run_show(settings, place, raw=raw)


@dlq.command()
def redrive(
    places: Annotated[
        list[str] | None, typer.Argument(help="Letters by place, PARTITION:OFFSET.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the filters leave.")] = False,
    reason: Reason = "",
    topic: Topic = "",
    partition: Number = -1,
    since: Since = "",
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent before.")] = (
        False
    ),
    yes: Annotated[bool, typer.Option("--yes", help="Send; without it, only count.")] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Send letters back to the topic they came from.

    Name them by place, by --reason, or with --all. Nothing is sent without --yes.
    """
    if not (places or everything or reason):
        raise typer.BadParameter("name letters by place, by --reason, or with --all")
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.dlq_list import selection
    from everfresh.infra.cli.commands.dlq_redrive import run_redrive

    chosen = selection(reason, topic, partition, since, places or [])
    run_redrive(settings, chosen, again=again, act=yes)

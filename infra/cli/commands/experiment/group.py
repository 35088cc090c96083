# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)

"""The commands of ``everfresh experiment`` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.options import Config, Home, Servers, given, load

experiment = typer.Typer(
    help="Define experiments: who gets which arm.\n\n"
    "An experiment splits users into arms, such as `control` and `treatment`. Every answer and "
    "every exposure names the arm that it was made for.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@experiment.callback()
def _group() -> None:
    """So that a group of one command keeps its name."""


@experiment.command("list")
def list_experiments(
    as_json: AsJson = False, servers: Servers = "", home: Home = None, config: Config = None
) -> None:
    """Show all experiments: arms, shares, who is in, and what was stopped."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.show import run_list

    run_list(settings, as_json=as_json)

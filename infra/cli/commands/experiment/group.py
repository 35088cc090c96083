# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
# ruff: noqa: PLR0913, PLR0917  (a command's arguments are its options)

"""The commands of ``everfresh experiment`` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everfresh.infra.cli.options import Config, Home, Servers, User, finite, given, load

if TYPE_CHECKING:
    from everfresh.infra.cli.commands.experiment.change import Kind

experiment = typer.Typer(
    help="Define experiments: who gets which arm.\n\n"
    "An experiment splits users into arms, such as `control` and `treatment`. Every answer and "
    "every exposure names the arm that it was made for.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@experiment.command()
def start(
    name: Name,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="NAME[=WEIGHT][@TRACK]",
            help="An arm, its share of the users, and the track that answers for it; once for each "
            "arm. Without weights they get equal ones. Default: control and treatment, both by "
            "the default track.",
        ),
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(
            "--coverage",
            min=0.0,
            max=1.0,
            callback=finite,
            metavar="SHARE",
            help="Share of users who are in, from 0 to 1; 1 is everybody.",
        ),
    ] = 1.0,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            metavar="NAME:BEGIN:END",
            help="Only users of this part of a namespace. Experiments with different parts of one "
            "namespace have no user in common.",
        ),
    ] = "",
    holdout: Annotated[
        bool,
        typer.Option(
            "--holdout", help="Keep these users out of all experiments; needs --coverage."
        ),
    ] = False,
    diverted: Annotated[
        bool,
        typer.Option(
            "--diverted",
            help="Have the tracks that arms name learn from these arms' own users alone, so that "
            "arms do not learn from each other.",
        ),
    ] = False,
    interleaved: Annotated[
        bool,
        typer.Option(
            "--interleaved",
            help="Have the tracks of two arms make each answer together, so that each user "
            "compares them; needs far fewer users than a split.",
        ),
    ] = False,
    explore: Annotated[
        list[str] | None,
        typer.Option(
            "--explore",
            metavar="ARM=SHARE[:TOP][:fresh=SECONDS]",
            help="Show items by chance at this share of an arm's places: evenly among the TOP best "
            "that are not in the answer (100), or of those published in the last SECONDS.",
        ),
    ] = None,
    sticky: Annotated[
        bool,
        typer.Option(
            "--sticky",
            help="Whoever was shown an arm keeps it, so that coverage may go down and weights may "
            "change later.",
        ),
    ] = False,
    seed: Annotated[
        str,
        typer.Option(
            "--seed",
            metavar="TEXT",
            help="Seed of the hash that splits users. Default: the experiment's name.",
        ),
    ] = "",
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Define an experiment and start it.

    Users are split by a hash of their id, so each keeps the arm. An experiment whose arms do the
    same is an A/A test.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.change import Asked, run_start

    flags: dict[Kind, bool] = {
        "holdout": holdout,
        "diverted": diverted,
        "interleaved": interleaved,
        "sticky": sticky,
    }
    kinds = [kind for kind, wanted in flags.items() if wanted]
    if len(kinds) > 1:
        words = " and ".join(f"--{kind}" for kind in kinds)
        raise typer.BadParameter(f"{words} exclude each other: give one of them.")
    asked = Asked(arms or [], explore or [])
    run_start(settings, name, asked, coverage, namespace, seed, *kinds)


@experiment.command()
def ramp(
    name: Name,
    coverage: Annotated[
        float,
        typer.Argument(
            min=0.0,
            max=1.0,
            callback=finite,
            metavar="SHARE",
            help="Share of users who are in from now on, from 0 to 1.",
        ),
    ],
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Take more users into a running experiment.

    Who is in already keeps the arm. One that was started with --sticky may also take in fewer.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.change import run_ramp

    run_ramp(settings, name, coverage)


@experiment.command()
def reweigh(
    name: Name,
    arms: Annotated[
        list[str],
        typer.Option(
            "--arm", metavar="NAME=WEIGHT", help="An arm and its new share; once for each arm."
        ),
    ],
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Change the arms' shares in an experiment that was started with --sticky.

    Whoever was shown an arm keeps it; the new shares are for users who come from now on.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.change import run_reweigh

    run_reweigh(settings, name, arms)


@experiment.command()
def stop(name: Name, servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """End an experiment.

    Its users get the arm `default` again. It cannot be started again, and its name stays taken.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.change import run_stop

    run_stop(settings, name)


@experiment.command("list")
def list_experiments(
    as_json: AsJson = False, servers: Servers = "", home: Home = None, config: Config = None
) -> None:
    """Show all experiments: arms, shares, who is in, and what was stopped."""
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.show import run_list

    run_list(settings, as_json=as_json)


@experiment.command()
def assign(
    user: User,
    as_json: AsJson = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show which arm a user gets, and why.

    Shows where the user stands in each running experiment. It asks no replica and leaves no
    exposure.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.show import run_assign

    run_assign(settings, user, as_json=as_json)


@experiment.command()
def watch(
    name: Name,
    every: Annotated[
        float,
        typer.Option(
            "--every", min=1.0, callback=finite, metavar="SECONDS", help="Seconds between looks."
        ),
    ] = 60.0,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Look at an experiment again and again, and close arms that cross a guardrail.

    Runs until Ctrl-C. Users of a closed arm get what they would get without the experiment; nobody
    else moves. Only a person opens it again: `everfresh experiment reopen`.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.watch import run_watch

    run_watch(settings, name, every)


@experiment.command()
def reopen(
    name: Name,
    arm: Annotated[str, typer.Argument(metavar="ARM", help="The arm that was closed.")],
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Open an arm that a guardrail closed.

    No guardrail closes it again.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.change import run_reopen

    run_reopen(settings, name, arm)


@experiment.command()
def report(
    name: Name,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page with plots to this file."),
    ] = None,
    if_explored: Annotated[
        float | None,
        typer.Option(
            "--if-explored",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Also estimate what an arm that explores would have had with this share of places "
            "explored.",
        ),
    ] = None,
    as_json: AsJson = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Say which arm is better, how sure that is, and what to do next.

    Counts the outcomes that are new since the last report. Look as often as you like: the
    always-valid intervals allow it. docs/verdict.md explains each figure.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.experiment.report import run_report

    run_report(settings, name, html, as_json=as_json, if_explored=if_explored)

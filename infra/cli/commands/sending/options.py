# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh replay`` and ``everfresh backfill``, as the command line has them."""

from __future__ import annotations

from typing import Annotated

import typer

from everfresh.infra.cli.file_options import AskedReading, EventFile, with_file_options
from everfresh.infra.cli.options import Config, Home, Servers, events_per_second, given, load


@with_file_options
def replay(  # noqa: PLR0913, PLR0917  (every option is one word of the command line)
    file: EventFile,
    asked: AskedReading,
    speed: Annotated[float, events_per_second("is as fast as possible")] = 0.0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what would be read and what is wrong; no Kafka."),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also send what an earlier replay of the file has sent."),
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Send the events of a file to Kafka, in the order of their times.

    They go to a loop that is up, or to the brokers that you name, by the same producer client that
    applications use. At the end it says how many were accepted, how many had been accepted before,
    and how many are dead letters. Stopped and run again, it goes on where it stopped.
    docs/bring-your-data.md shows how to bring a file of your own.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    reading = asked(settings, file)
    if check:
        from everfresh.infra.cli.commands.check_file import run_check

        run_check(settings, file, reading)
        return
    from everfresh.infra.cli.commands.sending.replay import run_replay

    run_replay(settings, file, reading, speed, again=again)


@with_file_options
def backfill(
    file: EventFile,
    asked: AskedReading,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Take months of history to a model that is served.

    Sends the events of a file to a loop that is up, as fast as Kafka takes them, and waits until
    the trainer has learned them and the replicas have the model. The users' state is complete
    before the model is. Events that come meanwhile are learned as well, and those after it without
    a gap. Stopped and run again, it goes on where it stopped. docs/bring-your-data.md leads
    through it.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    reading = asked(settings, file)
    from everfresh.infra.cli.commands.sending.backfill import run_backfill

    run_backfill(settings, file, reading)

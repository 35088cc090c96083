# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh board``: the live page of a run, until Ctrl-C."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from everfresh.infra.cli.options import Config, Home, Servers, load
from everfresh.infra.cli.options import given as _given

_LARGEST_PORT = 65_535


def board(
    port: Annotated[
        int,
        typer.Option(
            min=0, max=_LARGEST_PORT, metavar="PORT", help="TCP port; 0 takes a free one."
        ),
    ] = 0,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Show a live page of the loop in the browser.

    The page listens on this machine alone, and only reads. `everfresh up` offers the same page;
    this command is for a loop that was started otherwise.
    """
    run = {"board_port": port} if port else {}
    settings = load(home, config, kafka=_given(bootstrap_servers=servers), run=run)
    from everfresh.adapters.kafka.diagnosis import require_broker
    from everfresh.adapters.machine.interrupts import Interrupted
    from everfresh.infra.cli.board.door import Board
    from everfresh.infra.cli.running import with_brokers
    from everfresh.infra.cli.terminal import Terminal

    settings = with_brokers(settings)
    require_broker(settings.kafka.brokers)
    try:
        with Board(settings) as page:
            Terminal().print(f"the board is at {page.url}; stop it with Ctrl-C", soft_wrap=True)
            threading.Event().wait()
    except Interrupted:
        return

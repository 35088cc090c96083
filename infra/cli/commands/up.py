"""``everfresh up``: starts the loop and keeps it up, with a live view."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial

from rich.live import Live

from everfresh.adapters.machine.interrupts import Interrupted
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.board.door import Board
from everfresh.infra.cli.board.seen import WINDOWS
from everfresh.infra.cli.http_client import serving_url
from everfresh.infra.cli.interrupts import INTERRUPTS
from everfresh.infra.cli.running import require_nothing_left
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.live_screen import plain_line, render
from everfresh.infra.cli.views.run_watch import RunWatch
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.supervisor import Supervisor

_PAUSE_S = 0.1
_PLAIN_S, _SCREEN_S = 10.0, 1.0


def run_up(settings: Settings) -> None:
    """Return when the run was asked to stop and has stopped; ``RunError`` where it had to stop."""
    console = Terminal()
    steps = StepPrinter(console)
    run = Supervisor(settings, INTERRUPTS, steps)
    ready = False
    try:
        # The page outlasts the run: closing it must not take from the time in which that stops.
        with contextlib.ExitStack() as pages, run:
            run.start()
            ready = True
            _greet(console, run, pages.enter_context(_board(console, run.settings)))
            _stay(console, run)
    except Interrupted:
        if not ready:
            raise
    finally:
        steps.end()
        require_nothing_left(run)
    console.print("everything has stopped")


@contextlib.contextmanager
def _board(console: Terminal, settings: Settings) -> Iterator[str]:
    """The address of the live page while the block lasts; a loop goes on without one."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(Board(settings)).url
        except Unreachable as error:
            console.print(f"without a live page: {error}", soft_wrap=True)
            url = ""
        yield url


def _greet(console: Terminal, run: Supervisor, page: str) -> None:
    url, kafka = serving_url(run.home), run.settings.kafka
    for line in (
        "",
        "The loop is up.",
        f"  recommendations  POST {url}/v1/recommend, described at {url}/docs",
        f"  events           topic {kafka.topic_prefix}events at {kafka.bootstrap_servers}",
        *([f"  live page        {page}"] if page else []),
        f"  log files        {run.home / 'logs'}",
        "Stop it with Ctrl-C here, or with `everfresh down` in another terminal.",
        "",
    ):
        console.print(line, soft_wrap=True)


def _stay(console: Terminal, run: Supervisor) -> None:
    began, shown_s = time.monotonic(), 0.0
    every_s = _SCREEN_S if console.is_terminal else _PLAIN_S
    follow = partial(RunFollower, run.settings, from_end=True, most=WINDOWS)
    with (
        contextlib.closing(RunWatch(follow)) as seen,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while True:
            run.watch()
            time.sleep(_PAUSE_S)
            elapsed_s = time.monotonic() - began
            if elapsed_s - shown_s < every_s:
                continue
            shown_s = elapsed_s
            now = seen.snapshot("everfresh", run.absent(), elapsed_s)
            if console.is_terminal:
                live.update(render(now), refresh=True)
            else:
                console.print(plain_line(now), soft_wrap=True)

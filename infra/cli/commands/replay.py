"""``everfresh replay``: a file of events into a running loop, with a progress bar."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from everfresh.contracts.errors import DataFileError, RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli import INTERRUPTS
from everfresh.infra.cli.commands.feed import Feed, replay_spec
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import become_subreaper, spawn, stop_in_order
from everfresh.infra.run.run_record import is_supervised, read_record

_POLL_S = 0.1
_PLAIN_S = 5.0
_STOP_S = 6.0


def run_replay(settings: Settings, file: Path, form: str, speed: float) -> None:
    """Return when every event is in the log; errors name what is wrong with file or broker."""
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name an event file to replay")
    settings = joined(settings)
    become_subreaper()
    console, home = Console(highlight=False), settings.home.resolve()
    child = spawn(
        replay_spec(file, form, speed, 0, settings_environment(settings)),
        home / "logs",
        uuid.uuid4().hex,
    )
    feed = Feed(child)
    try:
        _show(console, feed, file.name)
    finally:
        INTERRUPTS.closing()
        stop_in_order([[child]], _STOP_S, INTERRUPTS.hurry.is_set, lambda name: None)
        said = feed.latest
        rate = said.sent / said.seconds if said.seconds else 0.0
        where = "are in the log" if said.done else "were sent"
        console.print(f"{said.sent:,} events {where}, {said.seconds:.1f} s, {rate:,.0f} events/s")


def joined(settings: Settings) -> Settings:
    """The settings with the brokers of the home's run where none are named."""
    if settings.kafka.bootstrap_servers:
        return settings
    home = settings.home.resolve()
    record = read_record(home) if is_supervised(home) else None
    if record is None or not record.bootstrap_servers:
        raise RunError(
            f"nothing is up in {home}; start `everfresh up`, give its --home, or pass "
            "--bootstrap-servers HOST:PORT"
        )
    kafka = settings.kafka.model_copy(
        update={
            "bootstrap_servers": record.bootstrap_servers,
            "topic_prefix": record.topic_prefix,
        }
    )
    return settings.model_copy(update={"kafka": kafka})


def _show(console: Console, feed: Feed, title: str) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} events/s"),
        TimeRemainingColumn(),
    )
    began = told = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None, rate=0.0)
        while True:
            over, now = feed.ended(), feed.latest
            rate = now.sent / now.seconds if now.seconds else 0.0
            progress.update(task, total=now.total or None, completed=now.sent, rate=rate)
            if over:
                return
            if not console.is_terminal and time.monotonic() - told >= _PLAIN_S:
                told = time.monotonic()
                console.print(f"{told - began:6.1f} s  {now.sent:,}/{now.total:,}, {rate:,.0f}/s")
            time.sleep(_POLL_S)

"""``everfresh replay``: sends a file of events to Kafka, with a progress bar."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.foreign import printable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.check_file import said_of_source
from everfresh.infra.cli.interrupts import INTERRUPTS
from everfresh.infra.cli.replay_process import ReplayProcess, replay_spec
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal, progress_text
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import become_subreaper, spawn, stop_in_order
from everfresh.streaming.replay.progress import DUPLICATE, Outcome, ReplayProgress
from everfresh.streaming.replay.sizes import Needed

_SIZING = "finding out how much disk they need"
_POLL_S = 0.1
_PLAIN_S = 5.0
_STOP_S = 6.0


def run_replay(
    settings: Settings, file: Path, reading: Reading, speed: float, *, again: bool = False
) -> None:
    """Return when every event is in the log, and it is known what became of it.

    Errors name what is wrong with file or broker.
    """
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name an event file to replay")
    settings = with_brokers(settings)
    become_subreaper()
    console, home = Terminal(), settings.home.resolve()
    close_home(home)
    for line in said_of_source(file, reading):
        console.print(line, soft_wrap=True)
    env = settings_environment(settings)
    spec = replay_spec(file, reading, speed, 0, env, settle=True, again=again)
    child = spawn(spec, home / "logs", uuid.uuid4().hex)
    replay = ReplayProcess(child)
    try:
        show_replay(console, replay, file.name)
    finally:
        INTERRUPTS.closing()
        stop_in_order([[child]], _STOP_S, INTERRUPTS.hurry.is_set, lambda name: None)
        for line in summary(replay.final(), reading.rejects):
            console.print(line)


def summary(end: ReplayProgress, rejects: str = "") -> list[str]:
    """Lines: what was left out and sent, and what became of it, as far as it is known."""
    lines = []
    if end.rejected:
        lines.append(f"{end.rejected:,} of {end.rows:,} rows were left out: see {rejects}")
    if end.before:
        lines.append(f"{end.before:,} events are in the log from an earlier replay of this file")
    if end.before and end.done and not end.total:
        return [*lines, "nothing is left to send; --again sends all of them once more"]
    return lines + _sent(end)


def _sent(end: ReplayProgress) -> list[str]:
    rate = end.sent / end.seconds if end.seconds else 0.0
    took = f"{end.seconds:.1f} s, {rate:,.0f} events/s"
    if end.done:
        return [f"{end.sent:,} events are in the log; {took}", _became(end.sent, end.outcome)]
    if not end.sent:
        return ["no event was sent"]
    return [f"{end.sent:,} events were sent, not all of them may be in the log; {took}"]


def _became(sent: int, outcome: Outcome | None) -> str:
    """What the stream worker made of them."""
    outcome = outcome or Outcome()
    rejected = dict(outcome.rejected)
    repeated = rejected.pop(DUPLICATE, 0)
    refused = sum(rejected.values())
    words = [f"{repeated:,} had been accepted before (same user and id)"] if repeated else []
    if refused:
        reasons = ", ".join(
            f"{printable(reason)} {count:,}" for reason, count in sorted(rejected.items())
        )
        words.append(f"{refused:,} are dead letters ({reasons}): `everfresh dlq list` shows them")
    if outcome.settled:
        return "; ".join([f"{sent - repeated - refused:,} of them were accepted", *words])
    known = "; ".join([f"{outcome.taken:,} of them have been read by the stream worker", *words])
    return f"{known}; what became of all is not known yet: `everfresh status` shows the lag"


def show_replay(
    console: Terminal,
    replay: ReplayProcess,
    title: str,
    on_needed: Callable[[Needed], None] | None = None,
) -> None:
    """Return when it is over; ``RunError`` where it failed. ``on_needed`` hears once, if at all;
    only where it is given the replay was asked how much disk it needs."""
    columns = (
        progress_text("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        progress_text("{task.fields[rate]:,.0f} events/s"),
        TimeRemainingColumn(),
    )
    began = printed = time.monotonic()
    told = False
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(printable(title), total=None, rate=0.0)
        while True:
            over, now = replay.ended(), replay.latest
            rate = now.sent / now.seconds if now.seconds else 0.0
            progress.update(task, total=now.total or None, completed=now.sent, rate=rate)
            sizing = on_needed is not None and now.needed is None
            progress.update(task, description=f"{printable(title)}{_doing(now, sizing)}")
            if on_needed and now.needed is not None and not told:
                on_needed(now.needed)
                told = True
            if over:
                return
            if not console.is_terminal and time.monotonic() - printed >= _PLAIN_S:
                printed = time.monotonic()
                console.print(f"{printed - began:6.1f} s  {_plain(now, rate, sizing)}")
            time.sleep(_POLL_S)


def _doing(now: ReplayProgress, sizing: bool) -> str:
    """What the bar's number does not say; ``sizing``: how much disk it needs is to be told yet."""
    if not now.total and not now.done:
        return f", {now.rows:,} rows read"
    if sizing and not now.done:
        return f", {_SIZING}"
    return ", waiting for the worker" if now.done else ""


def _plain(now: ReplayProgress, rate: float, sizing: bool) -> str:
    """A line of text instead of a bar."""
    if not now.total and not now.done:
        return f"{now.rows:,} rows read"
    if sizing and not now.done:
        return f"{now.total:,} events, {_SIZING}"
    what = "waiting for the stream worker" if now.done else f"{rate:,.0f}/s"
    return f"{now.sent:,} of {now.total:,} events, {what}"

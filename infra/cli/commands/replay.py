"""``everfresh replay``: sends a file of events to Kafka, with a progress bar."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import DataFileError
from everfresh.contracts.foreign import printable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.interrupts import INTERRUPTS
from everfresh.infra.cli.replay_process import ReplayProcess, replay_spec
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal, progress_text
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import become_subreaper, spawn, stop_in_order
from everfresh.streaming.replay.progress import DUPLICATE, Outcome, ReplayProgress

_POLL_S = 0.1
_PLAIN_S = 5.0
_STOP_S = 6.0


def run_replay(settings: Settings, file: Path, file_format: str, speed: float) -> None:
    """Return when every event is in the log, and it is known what became of it.

    Errors name what is wrong with file or broker.
    """
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name an event file to replay")
    settings = with_brokers(settings)
    become_subreaper()
    console, home = Terminal(), settings.home.resolve()
    close_home(home)
    child = spawn(
        replay_spec(file, file_format, speed, 0, settings_environment(settings), settle=True),
        home / "logs",
        uuid.uuid4().hex,
    )
    replay = ReplayProcess(child)
    try:
        _show(console, replay, file.name)
    finally:
        INTERRUPTS.closing()
        stop_in_order([[child]], _STOP_S, INTERRUPTS.hurry.is_set, lambda name: None)
        for line in summary(replay.final()):
            console.print(line)


def summary(end: ReplayProgress) -> list[str]:
    """Lines: what was sent, and what became of it, as far as it is known."""
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


def _show(console: Terminal, replay: ReplayProcess, title: str) -> None:
    columns = (
        progress_text("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        progress_text("{task.fields[rate]:,.0f} events/s"),
        TimeRemainingColumn(),
    )
    began = printed = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(printable(title), total=None, rate=0.0)
        while True:
            over, now = replay.ended(), replay.latest
            rate = now.sent / now.seconds if now.seconds else 0.0
            progress.update(task, total=now.total or None, completed=now.sent, rate=rate)
            if now.done:
                progress.update(task, description=f"{printable(title)}, waiting for the worker")
            if over:
                return
            if not console.is_terminal and time.monotonic() - printed >= _PLAIN_S:
                printed = time.monotonic()
                what = "waiting for the stream worker" if now.done else f"{rate:,.0f}/s"
                console.print(
                    f"{printed - began:6.1f} s  {now.sent:,} of {now.total:,} events, {what}"
                )
            time.sleep(_POLL_S)

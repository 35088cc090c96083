"""``everfresh backfill``: takes a file of history to a served model, and says what came of it."""

from __future__ import annotations

import shutil
import time
import uuid
from pathlib import Path
from typing import Protocol

from rich.progress import BarColumn, Progress, TimeElapsedColumn

from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.machine.interrupts import Interrupted
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.errors import DataFileError, RunError
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, WINDOWS, topic_name
from everfresh.infra.cli.commands.check_file import said_of_source
from everfresh.infra.cli.commands.sending.replay import show_replay, summary
from everfresh.infra.cli.interrupts import INTERRUPTS
from everfresh.infra.cli.replay_process import ReplayProcess, backfill_spec
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal, progress_text
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.cli.views.learned_history import LearnedHistory
from everfresh.infra.cli.views.run_reports import RunReports
from everfresh.infra.cli.views.text import duration
from everfresh.infra.components import settings_environment
from everfresh.infra.processes.processes import become_subreaper, spawn, stop_in_order
from everfresh.streaming.replay.progress import ReplayProgress
from everfresh.streaming.replay.sizes import Needed

_STOP_S = 6.0
_POLL_MS = 500
_PLAIN_S = 10.0
_SILENT_S = 60.0
_LIVE_S = 60.0
_GB = 1e9
_LONG_S = 5 * 86_400.0
"""Learning that takes longer comes near to what Kafka keeps by default."""


class Reports(Protocol):
    """A ``RunFollower``, as far as it is needed."""

    reports: RunReports

    def poll(self, timeout_ms: int) -> None:
        """Take what is new."""


def run_backfill(settings: Settings, file: Path, reading: Reading) -> None:
    """Return when the file is learned and live. ``EverfreshError`` where that cannot be."""
    if not file.exists():
        raise DataFileError(f"{file} does not exist; name a file of events")
    embedded = not settings.kafka.bootstrap_servers
    settings = with_brokers(settings)
    become_subreaper()
    console, home = Terminal(), settings.home.resolve()
    close_home(home)
    events = topic_name(settings.kafka.topic_prefix, EVENTS)
    partitions = len(end_offsets(settings.kafka.brokers, events))
    for line in (*said_of_source(file, reading), *said_of_settings(settings, partitions)):
        console.print(line, soft_wrap=True)
    sent = _send(settings, file, reading, partitions, console, home if embedded else None)
    if not sent.ends:
        raise RunError(
            "an earlier release has sent these events, so it is not known where they stand in "
            "the log; `everfresh status` shows how far the trainer is"
        )
    history = LearnedHistory(sent.starts, sent.ends)
    try:
        with RunFollower(settings) as follower:
            follow_learning(
                console, follower, history, topic_name(settings.kafka.topic_prefix, WINDOWS)
            )
            await_live(console, follower, history)
    except Interrupted:
        console.print(
            f"{history.consumed:,} of {history.total:,} events are learned. All of them are in "
            "the log, so learning goes on without this command. Run it again to see the rest."
        )
        raise
    say_what_stands(console, settings, history, events)


def said_of_settings(settings: Settings, partitions: int) -> list[str]:
    """Lines: how large windows of history are, and whether each of them is learned."""
    each, waiting = settings.windows.history_events, settings.trainer.backlog
    lines = [
        f"windows: of at most some {each * partitions:,} events, {each:,} of each partition "
        "(windows.history_events)"
    ]
    if not each:
        lines = [
            f"windows: by {settings.windows.seconds:g} s of sending, since windows.history_events "
            "is 0; that makes very large ones: set it to 1000, say, and start the loop again"
        ]
    if waiting != "every":
        lines.append(
            f"trainer.backlog is {waiting}: windows of history that wait are trained "
            + ("as one" if waiting == "merge" else "in part")
            + "; set it to every and start the loop again to learn all of each"
        )
    return lines


def _send(
    settings: Settings,
    file: Path,
    reading: Reading,
    partitions: int,
    console: Terminal,
    disk: Path | None,
) -> ReplayProgress:
    env = settings_environment(settings)
    spec = backfill_spec(file, reading, window_of(settings, partitions), env)
    child = spawn(spec, settings.home.resolve() / "logs", uuid.uuid4().hex)
    replay = ReplayProcess(child)

    def said(needed: Needed) -> None:
        for line in said_of_disk(needed, disk):
            console.print(line, soft_wrap=True)

    try:
        show_replay(console, replay, file.name, said)
    finally:
        stop_in_order([[child]], _STOP_S, INTERRUPTS.hurry.is_set, lambda name: None)
        for line in summary(replay.final(), reading.rejects):
            console.print(line)
    return replay.final()


def window_of(settings: Settings, partitions: int) -> int:
    """Events after which a user's next ones make another example: those of a window, or of a
    stretch of it where that is shorter, or the window is bounded by time alone."""
    stretch, history = settings.windows.stretch_events, settings.windows.history_events
    return partitions * min(stretch, history or stretch)


def said_of_disk(needed: Needed, disk: Path | None) -> list[str]:
    """Lines: how much disk is needed; ``disk`` is a folder on the one that Kafka uses."""
    kafka = needed.events + needed.windows
    lines = [
        f"disk: up to {kafka / _GB:.2f} GB in Kafka (events {needed.events / _GB:.2f}, windows "
        f"{needed.windows / _GB:.2f}) until its retention deletes them, by default after 7 days; "
        f"{needed.state / _GB:.2f} GB of users' state"
    ]
    if disk is not None and (free := shutil.disk_usage(disk).free) < kafka + needed.state:
        lines.append(
            f"only {free / _GB:.2f} GB are free where {disk} is: Kafka stops when the disk is "
            "full; press Ctrl-C now, and make room or send a shorter file"
        )
    return lines


def said_of_retention(left_s: float | None, windows: str) -> str:
    """A line where what waits for the trainer may be deleted before; mostly none."""
    if left_s is None or left_s < _LONG_S:
        return ""
    return (
        f"learning takes some {left_s / 86_400:.0f} days more, and Kafka deletes windows some time "
        f"after they were sent (retention.ms of topic {windows}, by default 7 days): raise it, or "
        "the trainer stops at a gap"
    )


def follow_learning(
    console: Terminal, follower: Reports, history: LearnedHistory, windows: str
) -> None:
    """Follow the trainer to the end of the history; ``RunError`` where it says nothing."""
    columns = (
        progress_text("{task.description}"),
        BarColumn(),
        progress_text("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    began = heard = printed = time.monotonic()
    warned = ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("learning", total=history.total, said="")
        while True:
            follower.poll(_POLL_MS)
            history.take(follower.reports.windows)
            said = _so_far(history)
            progress.update(task, completed=history.consumed, said=said)
            if history.done:
                return
            if not warned and (warned := said_of_retention(history.left_s(), windows)):
                console.print(warned, soft_wrap=True)
            now = time.monotonic()
            trainers = follower.reports.components("trainer", time.time_ns() // 1_000_000)
            failed = next((str(each.figures.get("failed") or "") for each in trainers), "")
            heard = now if trainers and not failed else heard
            if now - heard > _SILENT_S:
                raise RunError(_stuck(history, failed))
            if not console.is_terminal and now - printed >= _PLAIN_S:
                printed = now
                console.print(f"{now - began:6.1f} s  {said}")


def _so_far(history: LearnedHistory) -> str:
    left = history.left_s()
    rest = "" if left is None or history.done else f", some {duration(left)} left"
    held = f", {history.held} of them held by the gate" if history.held else ""
    return (
        f"{history.consumed:,} of {history.total:,} events learned, "
        f"{len(history.windows)} windows{held}{rest}"
    )


def _stuck(history: LearnedHistory, failed: str) -> str:
    why = f"the trainer stands still ({failed})" if failed else "no trainer has said anything"
    return (
        f"{why} for {_SILENT_S:.0f} s; {history.consumed:,} of {history.total:,} events are "
        "learned, and all are in the log and in the users' state: once a trainer runs it goes on "
        "there; `everfresh status` shows the parts, and this command can be run again"
    )


def await_live(console: Terminal, follower: Reports, history: LearnedHistory) -> None:
    """Wait some time until all replicas have the last version, and say what they have."""
    until = time.monotonic() + _LIVE_S
    while True:
        now_ms = time.time_ns() // 1_000_000
        replicas = follower.reports.components("replica", now_ms)
        have = follower.reports.version_everywhere(now_ms)
        if (replicas and have >= history.version) or time.monotonic() > until:
            break
        follower.poll(_POLL_MS)
    if not replicas:
        console.print("no replica runs, so nobody can ask yet; `everfresh up` starts some")
    elif have >= history.version:
        console.print(f"version {have} or later is live on all {len(replicas)} replicas")
    else:
        console.print(f"version {history.version} is not yet live on all replicas, {have} is")


def say_what_stands(
    console: Terminal, settings: Settings, history: LearnedHistory, events: str
) -> None:
    """Print what was learned, how good the model was meanwhile, and how to go on.

    ``RunError`` where the gate let none of it through.
    """
    if history.held:
        console.print(
            f"the gate held {history.held} of {len(history.windows)} windows, so their events are "
            "not learned: `everfresh versions` says why. Where windows of a history are very "
            "different from each other, a smaller windows.history_events helps",
            soft_wrap=True,
        )
    if history.held == len(history.windows):
        raise RunError(
            "nothing of this history is learned; users' state has it, and replicas go on with the "
            "version that they had"
        )
    console.print(
        f"{history.events:,} events in {len(history.windows) - history.held} windows are learned"
    )
    console.print(history.table())
    console.print(
        f"The live stream goes on from here: events that reach {events} are learned in windows of "
        f"{settings.windows.seconds:g} s. Ask with `everfresh recommend USER`.",
        soft_wrap=True,
    )

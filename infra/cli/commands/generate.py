# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""``everfresh generate``: writes a stream of clicks that drifts, with a progress bar."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everfresh.infra.cli.options import MOST, Config, finite, load

if TYPE_CHECKING:
    from everfresh.adapters.files.checks import EventCheck
    from everfresh.adapters.files.drifting.stream import DriftingStream
    from everfresh.adapters.files.drifting.writing import Ceiling, StreamSummary
    from everfresh.infra.cli.terminal import Terminal

_PLAIN_S = 5.0


def generate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of JSON lines to write; a new one.")
    ],
    events: Annotated[
        int, typer.Option(min=1, max=MOST, metavar="N", help="How many events.")
    ] = 200_000,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST, metavar="N", help="Seed of every random choice.")
    ] = 17,
    bots: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            callback=finite,
            metavar="SHARE",
            help="Share of clicks (0 to 0.9) by four bots: two click at random, two one item.",
        ),
    ] = 0.0,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="When it begins, in UTC: 2025-01-31T18:00, say.")
    ] = "2025-01-01T00:00",
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another setting of the stream, such as half_life_hours=1; may be repeated. "
            "docs/drifting.md lists all.",
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Write a made-up stream of clicks in which items, tastes and links drift.

    `everfresh replay` and `everfresh evaluate` read the file with --format jsonl. The same options
    make the same file. At the end it says how well one who knows the stream's law would rank.
    """
    settings = load(None, config)
    from everfresh.adapters.files.checks import event_check
    from everfresh.adapters.files.drifting.settings import DriftSettings
    from everfresh.adapters.files.drifting.stream import DriftingStream

    drift = DriftSettings.from_words(
        _pairs(values or []), seed=seed, bot_share=bots, start_ms=_milliseconds(start)
    )
    _write(DriftingStream(drift, events), file, event_check(settings.events))


def _write(stream: DriftingStream, file: Path, check: EventCheck) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from everfresh.adapters.files.drifting.writing import write_stream
    from everfresh.contracts.foreign import printable
    from everfresh.infra.cli.terminal import Terminal, progress_text

    columns = (
        progress_text("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Terminal()
    began = printed = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(printable(file.name), total=len(stream))

        def show(written: int) -> None:
            nonlocal printed
            progress.update(task, completed=written)
            if not console.is_terminal and time.monotonic() - printed >= _PLAIN_S:
                printed = time.monotonic()
                console.print(f"{written:,} of {len(stream):,} events")

        made = write_stream(stream, file, check, show)
        progress.update(task, completed=made.events)
    _sum_up(console, made, file, time.monotonic() - began)


def _sum_up(console: Terminal, made: StreamSummary, file: Path, seconds: float) -> None:
    span = " to ".join(_readable(ms) for ms in (made.first_ms or 0, made.last_ms))
    console.print(f"{made.events:,} events are in {file}; {seconds:.1f} s", soft_wrap=True)
    console.print(f"{made.users:,} users, {made.items:,} items, {span} UTC", soft_wrap=True)
    console.print(f"{made.users / made.events:.1%} of the clicks are their user's first")
    console.print(
        f"ceiling: {_figures(made.oracle)} by one who knows the law and every user's taste; "
        f"{_figures(made.observer)} by one who knows the law and infers tastes from clicks",
        soft_wrap=True,
    )
    console.print(
        f"next: everfresh evaluate {file} --format jsonl, or everfresh replay {file} "
        "--format jsonl",
        soft_wrap=True,
    )


def _figures(ceiling: Ceiling) -> str:
    return f"HR@10 {ceiling.hr10:.3f}, NDCG@10 {ceiling.ndcg10:.3f}"


def _readable(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write it like 2025-01-31T18:00", param_hint="--start"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _pairs(values: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, word = value.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{value!r} is not NAME=VALUE.", param_hint="--set")
        if name in ("seed", "start_ms", "bot_share"):
            raise typer.BadParameter(
                f"{name} has an option of its own: --seed, --start, --bots.", param_hint="--set"
            )
        pairs[name] = word
    return pairs

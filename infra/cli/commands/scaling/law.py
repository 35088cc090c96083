"""``everfresh scaling-law``: runs the grid in a child process; progress, tables, advice, plot."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from everfresh.adapters.files.tables.mapping import Reading, encode_reading
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.evaluation import scaling
from everfresh.evaluation.scaling.lines import (
    Cell,
    Findings,
    GridPlan,
    PassDone,
    ScalingLine,
    decode_scaling,
)
from everfresh.infra.cli.commands.check_file import said_of_source
from everfresh.infra.cli.evaluation_process import PLAIN_S, output_lines
from everfresh.infra.cli.kept_results import keep_results, require_places
from everfresh.infra.cli.terminal import Terminal, progress_text
from everfresh.infra.cli.views.scaling.tables import parts
from everfresh.infra.cli.views.text import duration


class Request(msgspec.Struct, frozen=True):
    """What is to be run; ``options`` are of the child's command line."""

    file: Path
    reading: Reading
    options: Mapping[str, object]
    check: bool

    def command(self) -> list[str]:
        """The child's command line."""
        options = {"--reading": encode_reading(self.reading), **self.options}
        words = [str(word) for pair in options.items() for word in pair]
        plan = ["--plan"] if self.check else []
        return [sys.executable, "-m", scaling.__name__, str(self.file), *words, *plan]


def run_scaling_law(
    settings: Settings, request: Request, json: Path | None, plot: Path | None
) -> None:
    """Return when tables, plot and JSON are there; errors are those of the file or the settings."""
    require_places(request.file, json, plot)
    console = Terminal()
    for line in said_of_source(request.file, request.reading):
        console.print(line, soft_wrap=True)
    result = _run(console, _lines(settings, request, console))
    if result is None:
        if not request.check:
            raise RunError("the grid ended without a result; run the command again: it goes on")
        return
    for part in parts(result):
        console.print(part)

    def drawn(path: Path) -> None:
        from everfresh.infra.cli.views.scaling.plot import draw  # noqa: PLC0415  (matplotlib is slow to load)

        draw(result, f"{request.file.name}: how the loss falls with size and events", path)

    keep_results(console, result, json, plot, drawn)


def _lines(settings: Settings, request: Request, console: Terminal) -> Iterator[ScalingLine]:
    for raw in output_lines(request.command(), settings, console, request.reading.rejects):
        if (line := decode_scaling(raw)) is not None:
            yield line


def _run(console: Terminal, lines: Iterator[ScalingLine]) -> Findings | None:
    """What the grid says in the end; meanwhile a bar, or now and then a line of text."""
    columns = (
        progress_text("{task.fields[now]:26}"),
        BarColumn(),
        progress_text("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    printed, found, cells = time.monotonic(), None, 0
    whole = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, start=False, now="reading", told="")
        for line in lines:
            if isinstance(line, GridPlan):
                whole = len(line.sizes) * len(line.prefixes) * len(line.seeds)
                for text in _cost(line, whole):
                    console.print(text, soft_wrap=True)
                progress.start_task(task)
                progress.update(task, total=line.tokens or 1, now="")
            elif isinstance(line, PassDone):
                now = f"{line.size}, {line.events:,} events"
                told = f"{cells}/{whole}, loss {line.reading.loss:.3f}"
                progress.update(task, advance=line.tokens, now=now, told=told)
                if not console.is_terminal and time.monotonic() - printed >= PLAIN_S:
                    printed = time.monotonic()
                    console.print(
                        f"{cells}/{whole} trainings; now {now}, seed {line.seed}, pass "
                        f"{line.number}: loss {line.reading.loss:.3f}"
                    )
            elif isinstance(line, Cell):
                cells += 1
            else:
                found = line
    return found


def _cost(plan: GridPlan, whole: int) -> Iterator[str]:
    """What is to be trained, and how long that takes."""
    yield (
        f"{whole} trainings: {len(plan.sizes)} sizes ({', '.join(plan.sizes)}), "
        f"{len(plan.prefixes)} stretches of {plan.prefixes[0]:,} to {plan.prefixes[-1]:,} events, "
        f"{len(plan.seeds)} seeds; {plan.passes} passes each."
    )
    yield (
        f"Losses are measured on {plan.targets:,} of the last {plan.window_events:,} events: those "
        f"on the {plan.catalogue:,} items that the shortest stretch brings."
    )
    left = whole - plan.kept
    if plan.kept:
        yield f"{plan.kept} of them are kept from before in {plan.folder}."
    if left:
        yield (
            f"{left} are left: {plan.tokens / 1e6:.1f} million tokens, about "
            f"{duration(plan.seconds)} of processor time; longer where other work runs beside. "
            "Stopped, it goes on from the last finished training."
        )

"""Tables as every view draws them: few lines, and title and note as wide as the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table

from everfresh.infra.cli.terminal import styled

_USUAL_WIDTH, _SHORT = 80, 17


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in ``right`` are figures. Cells are folded, never cut."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def described(title: str, table: Table, note: str) -> Group:
    """The table between its title and what a reader needs to know of its columns."""
    return Group(styled((title, "bold")), _WithWholeNames(table), styled((note, "dim")), "")


class _WithWholeNames:
    """A table whose short texts are not broken where the terminal has a usual width; figures are
    folded between two words instead."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self._table.columns:
            longest = max(len(str(each)) for each in (column.header, *column.cells))
            usual = options.max_width >= _USUAL_WIDTH and longest <= _SHORT
            column.no_wrap = column.justify == "left" and usual
        yield self._table

"""Tables as every view draws them: few lines, and title and note as wide as the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from everfresh.infra.cli.terminal import styled

_NAMES = 16
"""Columns of a terminal in which a row's name is not broken."""


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in ``right`` are figures. Cells are folded, never cut."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def described(title: str, table: Table, note: str) -> Group:
    """The table between its title and what a reader needs to know of its columns. A narrow terminal
    breaks its first column, which names the rows, last of all."""
    for column in table.columns[:1]:
        longest = max(len(str(each)) for each in (column.header, *column.cells))
        column.min_width = min(_NAMES, longest)
    return Group(styled((title, "bold")), table, styled((note, "dim")), "")

"""Where commands print with Rich: whatever they print, it steers no terminal and is no markup.

Ids, paths, headers, log lines and a server's words come from outside. So every string is escaped
here (``contracts.foreign.printable``), none is read as Rich's markup, and one string is one line.
Commands write with a :class:`Terminal` and build texts with :func:`styled`; a test sees to it that
they use nothing of Rich that would go around this file.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.status import Status
from rich.text import Text

from everfresh.contracts.foreign import printable

_NARROWEST, _WIDTH = 20, 80
"""Columns below which no table can be drawn, and those that are taken instead."""


class Terminal(Console):
    """Standard output. Strings, also those in a table's cells, are escaped and never markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        if self.width < _NARROWEST:  # COLUMNS=0, or a terminal that has no size
            self.width = _WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """Called by Rich for every string that is to be shown or measured."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})

    def spinner(self, text: Text) -> Status:
        """A turning sign with the text beside it. Rich would read a string as markup."""
        return Status(text, console=self)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A text of strings, or of pairs of a string and its style; each of them is escaped."""
    escaped = [
        printable(part) if isinstance(part, str) else (printable(part[0]), part[1])
        for part in parts
    ]
    return Text.assemble(*escaped)


def lines(*texts: Text) -> Text:
    """Texts below each other."""
    return Text("\n").join(texts)


def progress_text(template: str) -> TextColumn:
    """A column of a progress bar; its fields must be :func:`printable` already."""
    return TextColumn(template, markup=False)

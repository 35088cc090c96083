"""What windows were like before they were learnt, in a table with what each figure tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.text import MISSING

NEWEST = 10
_FIGURES = {
    "bits ↓": ("bits_live", "{:.2f}"),
    "popularity": ("bits_popularity", "{:.2f}"),
    "unknown": ("unknown", "{:.1%}"),
    "entropy": ("entropy", "{:.2f}"),
    "compression": ("compression", "{:.2f}"),
    "repeats": ("repeats", "{:.1%}"),
    "heaviest": ("heaviest", "{:.1%}"),
}
_NOTE = (
    "bits: how surprising an event of the window was to the version before it; one bit less halves "
    "the items it hesitates between. popularity: the same of counts that fade; where bits are no "
    "fewer, the network adds nothing there. unknown: events on items that the version did not "
    "know; they are in neither. entropy: bits by which a user's next item is open once the one "
    "before is known; compare only windows of like size. compression: 1 where nothing repeats. "
    "repeats: events in which a user did the same again. heaviest: events of the busiest hundredth "
    "of users. If compression, repeats or heaviest jump, look for bots or a client that sends "
    "twice."
)


def window_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    """The newest of versions that say so (``version``, ``measures``); else ``None``."""
    told = [row for row in rows if row["measures"]][-NEWEST:]
    if not told:
        return None
    heads = ("version", *_FIGURES)
    table = new_table(*heads, right=heads)
    for row in told:
        measures = row["measures"]
        cells = [
            form.format(measures[name]) if name in measures else MISSING
            for name, form in _FIGURES.values()
        ]
        table.add_row(str(row["version"]), *cells)
    return described("What the newest windows were like, before they were learnt", table, _NOTE)

"""Why an answer has fewer items than were asked for: what took away how many, in one line."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from everfresh.contracts.items.rules import Filter, Rules
from everfresh.model.vocabulary.sightings import ItemRows
from everfresh.serving.items.catalogue import Catalogue
from everfresh.serving.items.columns import FIRST, NOTHING, Bools
from everfresh.serving.items.filters import fits
from everfresh.serving.items.view import RowView


class Counted(msgspec.Struct, frozen=True):
    """An answer of ``found`` of ``k`` items; the filter left ``left`` rows, of which ``closed`` are
    the others. ``barred`` and ``allow`` are the request's; the last ``cold`` rows have no events.
    """

    k: int
    found: int
    left: int
    closed: Bools
    barred: ItemRows
    allow: ItemRows | None
    cold: int = 0


def why_fewer(counted: Counted, rules: Rules, view: RowView, catalogue: Catalogue) -> str:
    """Each step that took items away, in the order in which they did."""
    known = int(np.count_nonzero(view.slots != NOTHING))
    _, shown = view.closed(None)
    steps = [f"the version knows {known:,} items"]
    if counted.cold:
        steps.append(f"the catalogue has {counted.cold:,} more without events")
    if shown < known:
        steps.append(f"{known - shown:,} of them may not be shown now")
    if rules.filter is not None:
        steps.append(f"the filter leaves {counted.left:,}")
        if not counted.left:
            steps += _culprit(rules.filter, view, catalogue)
    open_rows = ~counted.closed
    if counted.allow is not None:
        allowed = np.zeros(len(open_rows), np.bool_)
        allowed[counted.allow] = True
        open_rows &= allowed
        steps.append(f"`allow` leaves {int(np.count_nonzero(open_rows)):,}")
    barred = int(np.count_nonzero(open_rows[np.unique(counted.barred)]))
    if barred:
        steps.append(f"{barred:,} of these were seen or excluded")
    if rules.at_most and int(np.count_nonzero(open_rows)) - barred > counted.found:
        steps.append("`at_most` leaves out the others")
    if unknown := _unknown(rules.filter, view, catalogue):
        steps.append(f"{unknown:,} items of the catalogue fit that this version does not know yet")
    return f"{counted.found} of {counted.k} items: {'; '.join(steps)}"


def _culprit(of: Filter, view: RowView, catalogue: Catalogue) -> Iterator[str]:
    """What of the filter fits nothing by itself."""
    table = catalogue.table
    for name in sorted(_names(of)):
        if name not in table.numbers and name not in table.labels:
            yield f"no item of the catalogue has the attribute {name}"
    parts = list(_parts(of))
    nothing = [name for name, part in parts if not view.closed(part)[1]]
    if nothing:
        yield f"nothing fits {', nor '.join(nothing[:3])}"
    elif len(parts) > 1:
        yield "no item fits all of its parts together"


def _parts(of: Filter, place: str = "filter") -> Iterator[tuple[str, Filter]]:
    """The conditions that must all hold, each with its place."""
    if of.all is None:
        yield f"`{place}`{_said(of)}", of
        return
    for at, inner in enumerate(of.all):
        yield from _parts(inner, f"{place}.all[{at}]")


def _said(of: Filter) -> str:
    return "" if of.attribute is None else f" ({of.attribute})"


def _names(of: Filter) -> Iterator[str]:
    if of.attribute is not None:
        yield of.attribute
    for inner in (*(of.all or ()), *(of.any or ()), *(of.none or ())):
        yield from _names(inner)


def _unknown(of: Filter | None, view: RowView, catalogue: Catalogue) -> int:
    """Items that might be shown if the version had a row for them."""
    table = catalogue.table
    open_slots = table.live.values[: table.end].copy()
    open_slots[:FIRST] = False
    if of is not None:
        open_slots &= fits(of, table)
    open_slots[view.slots] = False
    open_slots[view.cold.slots] = False
    return int(np.count_nonzero(open_slots))

"""Which items fit a filter: whole columns are compared at once."""

from __future__ import annotations

from functools import reduce

import numpy as np

from everfresh.contracts.items.rules import Filter, Scalar
from everfresh.serving.items.columns import Bools, Labels, Slots, label_of
from everfresh.serving.items.table import ItemTable


def fits(of: Filter, table: ItemTable, slots: Slots | None = None) -> Bools:
    """Whether each of these items fits, or each of all slots up to the table's end."""
    if of.all is not None:
        return reduce(np.logical_and, [fits(each, table, slots) for each in of.all])
    if of.any is not None:
        return reduce(np.logical_or, [fits(each, table, slots) for each in of.any])
    if of.none is not None:
        some = reduce(np.logical_or, [fits(each, table, slots) for each in of.none])
        return np.logical_not(some)
    return _condition(of, table, slots)


def has_label(labels: Labels, codes: list[int], slots: Slots | None, length: int) -> Bools:
    """Whether each item has one of the labels of these codes."""
    found = np.zeros(length, np.bool_)
    for layer in labels.codes(slots):
        own = layer[:length]
        found |= own == codes[0] if len(codes) == 1 else np.isin(own, codes)
    return found


def _condition(of: Filter, table: ItemTable, slots: Slots | None) -> Bools:
    length = table.end if slots is None else len(slots)
    found = np.zeros(length, np.bool_)
    name = of.attribute or ""
    numbers, labels = table.numbers.get(name), table.labels.get(name)
    wanted: tuple[Scalar, ...] = of.any_of or ()
    if of.equals is not None:
        wanted = (of.equals,)
    if numbers is not None:
        values = numbers.values[:length] if slots is None else numbers.values[slots]
        exact = [float(each) for each in wanted if not isinstance(each, bool | str)]
        if len(exact) == 1:
            found |= values == exact[0]
        elif exact:
            found |= np.isin(values, exact)
        if not wanted:
            least = -np.inf if of.at_least is None else of.at_least
            most = np.inf if of.at_most is None else of.at_most
            found |= (values >= least) & (values <= most)
    if labels is not None and wanted:
        codes = [code for each in wanted if (code := labels.code(label_of(each)))]
        if codes:
            found |= has_label(labels, codes, slots, length)
    return found

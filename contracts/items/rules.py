"""Rules of an answer: which items it may hold by what they are, and in which order they stand."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from everfresh.contracts.event import MAX_ID_BYTES
from everfresh.contracts.items.record import FIELDS, Finite, Integer, is_name

DEEPEST = 8
"""Filters in filters."""
MOST_CONDITIONS = 100
MOST_VALUES = 1_000
"""Of one condition."""
TIMES = frozenset({"published", "expires"})
"""Fields of an item that a filter may name as if they were attributes."""

_Text = Annotated[str, Meta(max_length=4_000)]
Scalar = bool | Integer | Finite | _Text
_Values = Annotated[tuple[Scalar, ...], Meta(min_length=1, max_length=MOST_VALUES)]
_Filters = Annotated[tuple["Filter", ...], Meta(min_length=1, max_length=MOST_CONDITIONS)]
_Attribute = Annotated[
    str, Meta(description="The attribute; `published` and `expires` are times in UTC ms.")
]
_Id = Integer | Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an item must be. Either a condition on one ``attribute``: ``equals`` a value, is
    ``any_of`` several, or is a number from ``at_least`` to ``at_most``, both included. Or filters
    of which ``all``, ``any`` or ``none`` hold.

    A list fits where one of its values does. An item without the attribute fits no condition.
    """

    attribute: _Attribute | None = None
    equals: Scalar | None = None
    any_of: _Values | None = None
    at_least: Finite | None = None
    at_most: Finite | None = None
    all: _Filters | None = None
    any: _Filters | None = None
    none: _Filters | None = None

    def __post_init__(self) -> None:
        forms = sum(part is not None for part in (self.attribute, self.all, self.any, self.none))
        if forms != 1:
            raise ValueError(
                f"a filter has one of attribute, all, any and none; found {forms} of them"
            )
        ranged = self.at_least is not None or self.at_most is not None
        tests = sum((self.equals is not None, self.any_of is not None, ranged))
        if self.attribute is None and tests:
            raise ValueError("equals, any_of, at_least and at_most need the attribute beside them")
        if self.attribute is None:
            return
        _require_name(self.attribute)
        if tests != 1:
            raise ValueError(
                f"the condition on {self.attribute} has one of equals, any_of, or at_least and "
                f"at_most; found {tests} of them"
            )


class Boost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``add`` to the score of the items that fit. Scores are logits: 0.7 doubles an item's odds."""

    filter: Filter
    add: Annotated[float, Meta(ge=-100, le=100)]


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``n`` items of each value of an attribute. Those without the attribute are free."""

    attribute: str
    n: Annotated[int, Meta(ge=1, le=1_000)]

    def __post_init__(self) -> None:
        _require_name(self.attribute)


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that stands at ``position``, the first being 1, if it may be shown at all."""

    item_id: _Id
    position: Annotated[int, Meta(ge=1, le=1_000)]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an answer obeys. A part that is absent asks for nothing.

    ``mmr_lambda`` weighs score against likeness (maximal marginal relevance, Carbonell and
    Goldstein 1998): 1 is by score alone, 0 by unlikeness to the items before alone.
    """

    filter: Filter | None = None
    boosts: Annotated[tuple[Boost, ...], Meta(max_length=10)] | None = None
    at_most: Annotated[tuple[Cap, ...], Meta(max_length=5)] | None = None
    mmr_lambda: Annotated[float, Meta(ge=0, le=1)] | None = None
    pins: Annotated[tuple[Pin, ...], Meta(max_length=50)] | None = None

    def __post_init__(self) -> None:
        filters = [boost.filter for boost in self.boosts or ()]
        if self.filter is not None:
            filters.append(self.filter)
        depths = [depth for each in filters for depth in _depths(each)]
        if len(depths) > MOST_CONDITIONS or any(depth > DEEPEST for depth in depths):
            raise ValueError(
                f"rules have at most {MOST_CONDITIONS} filters, {DEEPEST} inside each other; found "
                f"{len(depths)}, and {max(depths)}"
            )
        pins = self.pins or ()
        places, ids = {pin.position for pin in pins}, {pin.item_id for pin in pins}
        if len(places) < len(pins) or len(ids) < len(pins):
            raise ValueError("each pin has an item and a position of its own")


def merged(defaults: Rules | None, asked: Rules | None) -> Rules | None:
    """The rules of one answer: both filters hold; of all else, what is asked for counts."""
    if defaults is None or asked is None:
        return asked if defaults is None else defaults
    filters = tuple(each for each in (defaults.filter, asked.filter) if each is not None)
    both = Filter(all=filters) if len(filters) == 2 else next(iter(filters), None)
    named = {
        name: value
        for name in ("boosts", "at_most", "mmr_lambda", "pins")
        if (value := getattr(asked, name)) is not None
    }
    return msgspec.structs.replace(defaults, filter=both, **named)


def key_of(rules: Rules | Filter) -> bytes:
    """Equal for equal rules; unlike a hash of Python's it tells 1 from true."""
    return msgspec.json.encode(rules)


def name_of(rules: Rules) -> str:
    """A short name of these rules, the same wherever they are the same."""
    return blake2b(key_of(rules), digest_size=6).hexdigest()


def _depths(of: Filter, depth: int = 1) -> Iterator[int]:
    yield depth
    for inner in (*(of.all or ()), *(of.any or ()), *(of.none or ())):
        yield from _depths(inner, depth + 1)


def _require_name(name: str) -> None:
    if not is_name(name) or name in FIELDS - TIMES:
        raise ValueError(f"no attribute is called {ascii(name)[:80]}")

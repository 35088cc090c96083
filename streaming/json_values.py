"""What JSON keeps of a value: an event is refused rather than changed on its way.

The encoder writes bytes as base64, a date as text, NaN as null, and says nothing. So the producer
reads back what it is about to send, and where that differs, :func:`misfit` names the field.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ADVICE = "give text, a number, true, false, None, or lists and dicts of these"


def plain(value: Any) -> int | float | str:
    """The number or text that ``value`` is, where its type is another library's or a subclass.

    Such as numpy's scalars. ``TypeError`` for anything else, as an encoder's hook raises it.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"a {type(value).__name__} is nothing that JSON has")


def misfit(name: str, value: Any) -> str | None:
    """Why JSON does not keep ``value`` as it is, beginning with its ``name``; ``None`` if it does.

    A tuple is a list, as everywhere in JSON.
    """
    if value is None or isinstance(value, bool):
        return None
    for kinds, find in _FINDERS:
        if isinstance(value, kinds):
            return find(name, value)
    return f"{name} is of type {type(value).__name__}, which JSON does not have: {_ADVICE}"


def _text_misfit(name: str, value: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{name} is not valid Unicode text: it holds half of a surrogate pair"
    return None


def _number_misfit(name: str, value: Any) -> str | None:
    if isinstance(value, numbers.Integral):
        return None
    if not math.isfinite(value):
        return f"{name} is {value}, and JSON has finite numbers alone: leave it out, or give None"
    if float(value) != value:
        return f"{name} is a {type(value).__name__} that no JSON number equals: {_ADVICE}"
    return None


def _list_misfit(name: str, value: Sequence[Any]) -> str | None:
    found = (misfit(f"{name}[{at}]", part) for at, part in enumerate(value))
    return next(filter(None, found), None)


def _dict_misfit(name: str, value: Mapping[Any, Any]) -> str | None:
    for key, part in value.items():
        if not isinstance(key, str):
            return f"{name} has the key {key!r}, a {type(key).__name__}; JSON's keys are text"
        if found := _text_misfit(f"a key of {name}", key) or misfit(f"{name}.{key}", part):
            return found
    return None


_FINDERS: tuple[tuple[Any, Callable[[str, Any], str | None]], ...] = (
    (str, _text_misfit),
    (numbers.Real, _number_misfit),
    ((list, tuple), _list_misfit),
    (dict, _dict_misfit),
)

"""What an item's record says, as numbered features: by hashing, so that no list of values is kept.

Of each attribute: a text of few words, each value of a list, true or false, and a number are
features by name and value. A number also has coarser ones, by its first one, two and three digits,
so that 1994 and 1995 share two of three. Words of all texts are features together. Hashes give each
a place and a sign (Weinberger et al. 2009, "Feature hashing for large scale multitask learning").
An embedding that the record brings has places of its own: it is taken as it is, at one length for
all, or where it has more numbers than places, added up in them with signs (count sketch), which
keeps products of two embeddings in the mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.items.record import Item, Value

Matrix = npt.NDArray[np.float32]

PLACES = 512
"""That features are hashed to."""
OWN_PLACES = 512
"""Of an embedding that a record brings."""
WIDTH = 1 + PLACES + OWN_PLACES
"""Numbers of an item: a one, its features, its embedding."""
MOST = 32
"""Features of an item that are kept; words come last."""
_OWN_LENGTH = 2.0
_CATEGORY_WORDS = 3
_DIGITS = 3
_WORD = re.compile(r"\w+")
_WORD_BIT = 1 << 15
_PART = 1_024


class Features(msgspec.Struct, frozen=True):
    """``codes`` are uint16 (n,): a place, a sign, and whether it is a word. ``own`` is float32
    (OWN_PLACES,), where the record brings an embedding of ``length`` numbers."""

    codes: npt.NDArray[np.uint16]
    own: Matrix | None = None
    length: int = 0


def features_of(item: Item) -> Features:
    """The same for equal records, on every machine."""
    codes: dict[int, None] = {}
    for name, value in item.attributes.items():
        for token in _categories(name, value):
            codes[_code(token)] = None
    for value in item.attributes.values():
        if isinstance(value, str):
            for word in _WORD.findall(value.casefold()):
                if len(codes) >= MOST:
                    break
                codes[_code(f"\x00{word}") | _WORD_BIT] = None
    kept = np.fromiter(codes, np.uint16, len(codes))[:MOST]
    if item.embedding is None:
        return Features(kept)
    return Features(kept, _sketched(item.embedding), len(item.embedding))


def matrix_of(features: Sequence[Features], length: int = 0) -> Matrix:
    """Rows ``(n, WIDTH)``, without the places of embeddings where their ``length`` is 0; one of
    another length is left out.

    The words of an item together weigh as much as one other feature.
    """
    rows = np.zeros((len(features), WIDTH if length else 1 + PLACES), np.float32)
    rows[:, 0] = 1.0
    if not features:
        return rows
    sizes = [len(each.codes) for each in features]
    codes = np.concatenate([each.codes for each in features]).astype(np.int64)
    at = np.repeat(np.arange(len(features)), sizes)
    words = (codes & _WORD_BIT) != 0
    number = np.bincount(at[words], minlength=len(features))
    weights = np.where(words, 1.0 / np.sqrt(np.maximum(number, 1))[at], 1.0)
    signs = 1.0 - 2.0 * ((codes >> 9) & 1)
    np.add.at(rows, (at, 1 + (codes & (PLACES - 1))), (weights * signs).astype(np.float32))
    for row, each in enumerate(features):
        if length and each.own is not None and each.length == length:
            rows[row, 1 + PLACES :] = each.own
    return rows


def parts(features: Sequence[Features], length: int) -> Iterator[tuple[slice, Matrix]]:
    """The same in parts, so that few of them are in memory at once."""
    for begin in range(0, len(features), _PART):
        part = slice(begin, min(len(features), begin + _PART))
        yield part, matrix_of(features[part], length)


def _categories(name: str, value: Value) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield f"{name}={each}"
    elif isinstance(value, bool):
        yield f"{name}={value}"
    elif isinstance(value, int | float):
        yield from _numbers(name, value)
    elif len(_WORD.findall(value)) <= _CATEGORY_WORDS:
        yield f"{name}={value.casefold()}"


def _numbers(name: str, value: float) -> Iterator[str]:
    yield f"{name}={value}"
    if value:
        size = math.floor(math.log10(abs(value)))
        for digits in range(1, _DIGITS + 1):
            leading = math.floor(abs(value) / 10.0 ** (size - digits + 1))
            yield f"{name}~{'-' if value < 0 else ''}{leading}e{size}"


def _code(token: str) -> int:
    """A place in nine bits, and a sign in the tenth."""
    hashed = crc32(token.encode("utf-8", "surrogatepass"))
    return (hashed ^ (hashed >> 16)) & (2 * PLACES - 1)


def _sketched(embedding: Sequence[float]) -> Matrix:
    values = np.asarray(embedding, np.float64)
    at = np.arange(len(values))
    if len(values) > OWN_PLACES:
        # Signs by a fixed rule: an even mixture that is the same everywhere.
        values = values * np.where((at * 2_654_435_761 >> 16) & 1, -1.0, 1.0)
    own = np.zeros(OWN_PLACES)
    np.add.at(own, at % OWN_PLACES, values)
    norm = float(np.linalg.norm(own))
    return (_OWN_LENGTH * own / norm if norm > 0 else own).astype(np.float32)

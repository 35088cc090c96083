"""The item: what a catalogue says of one, as a record of the topic ``items``."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.event import MAX_ID_BYTES, ItemId
from everfresh.contracts.foreign import JSON, Milliseconds, advice, decoded, printable, refuse_newer

FORMAT = 1
LONGEST_TEXT = 4_000
"""Characters of a text; of a text in a list, a twentieth."""
LONGEST_LIST = 32
MOST_ATTRIBUTES = 64
LONGEST_RECORD = 65_536
"""Bytes of a record's value."""
FIELDS = frozenset({"id", "published", "expires", "available", "embedding"})
"""What a record says by fields of its own; no attribute has such a name."""
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_.-]{0,63}")

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
_InList = Annotated[str, Meta(max_length=LONGEST_TEXT // 20)]
_List = Annotated[list[_InList | Integer | Finite], Meta(max_length=LONGEST_LIST)]
Value = bool | Integer | Finite | Annotated[str, Meta(max_length=LONGEST_TEXT)] | _List
"""Of an attribute: a text, a number, true or false, or a list of texts and numbers."""
_Embedding = Annotated[
    list[Annotated[float, Meta(ge=-1e30, le=1e30)]], Meta(min_length=1, max_length=2048)
]
_Id = Integer | Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]


class Item(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is known of one item from this record on.

    Written by ``everfresh items`` or any Kafka client to the compacted topic ``items`` (key:
    :func:`item_key`); read by replicas, by the trainer, and by ``everfresh items``. The last good
    record of an id counts, whole: what it leaves out is no longer known. A record without a value
    removes the item from every answer.

    ``published`` and ``expires`` are UTC ms: the item is shown from the one on, and until right
    before the other; absent, from always or for ever. ``available`` false keeps it out of every
    answer, too. ``embedding`` is a vector that somebody else computed.
    """

    format: int = FORMAT
    id: _Id
    attributes: Annotated[dict[str, Value], Meta(max_length=MOST_ATTRIBUTES)] = {}
    published: Milliseconds | None = None
    expires: Milliseconds | None = None
    available: bool = True
    embedding: _Embedding | None = None

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(
                f"an item of format {FORMAT} was expected, found format {self.format}; "
                f"{advice(self.format, (FORMAT,), 'run the same release everywhere')}"
            )
        if isinstance(self.id, str) and not 1 <= len(self.id.encode()) <= MAX_ID_BYTES:
            raise ValueError(f"id has 1 to {MAX_ID_BYTES} bytes of UTF-8 text")
        for name in self.attributes:
            if not is_name(name):
                raise ValueError(
                    "the name of an attribute has 1 to 64 letters, digits and signs of `_.-`, the "
                    f"first a letter or _; found {ascii(name)[:80]}"
                )
        if taken := sorted(FIELDS & self.attributes.keys()):
            raise ValueError(f"{taken[0]} is a field of the item itself, and no attribute")


class ItemChange(msgspec.Struct, frozen=True):
    """One record: from now on ``item`` is what is known of ``id``; ``None`` removes it.

    ``appended`` is when the topic got it, UTC ms; 0 of one that it has not got yet. ``offset`` is
    where it stands there, -1 where that is not known.
    """

    id: ItemId
    item: Item | None
    appended: int = 0
    offset: int = -1


def is_name(name: str) -> bool:
    """Whether an attribute may be called so."""
    return _NAME.fullmatch(name) is not None


_DECODE = msgspec.json.Decoder(Item).decode
_DECODE_ID = msgspec.json.Decoder(_Id).decode


def item_key(item: ItemId) -> bytes:
    """The record's key: the id as JSON, so that ``7`` and ``"7"`` are two items."""
    return msgspec.json.encode(item)


def encode_item(item: Item) -> bytes:
    """JSON, so that any client reads and writes the topic. Equal items give equal bytes."""
    raw = msgspec.json.encode(item, order="deterministic")
    if len(raw) > LONGEST_RECORD:
        raise ForeignRecord(f"an item has at most {LONGEST_RECORD:,} bytes, found {len(raw):,}")
    return raw


def decode_change(
    key: bytes | None, value: bytes | None, appended: int = 0, offset: int = -1
) -> ItemChange:
    """What a record says; ``ForeignRecord`` where it is none of ours, whatever it holds."""
    if key is None:
        raise ForeignRecord("it has no key; the key is the item's id as JSON")
    if value is None:
        item_id: ItemId = decoded(_DECODE_ID, key)
        _require_key(key, item_id)
        return ItemChange(item_id, None, appended, offset)
    if len(value) > LONGEST_RECORD:
        raise ForeignRecord(f"an item has at most {LONGEST_RECORD:,} bytes, found {len(value):,}")
    try:
        item = decoded(_DECODE, value)
    except ForeignRecord as error:
        refuse_newer("an item", value, (FORMAT,), JSON)
        raise error from None
    _require_key(key, item.id)
    return ItemChange(item.id, item, appended, offset)


def _require_key(key: bytes, item: ItemId) -> None:
    # Another spelling would be another key to compaction, and an old record could come back.
    if key != item_key(item):
        raise ForeignRecord(
            f"its key is {printable(item_key(item).decode())} as JSON, found "
            f"{printable(key[:80].decode(errors='backslashreplace'))}"
        )

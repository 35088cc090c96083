"""A record of the catalogue is an item within its bounds, or foreign and nothing else."""

from __future__ import annotations

import random

import msgspec
import pytest

from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.items.record import (
    LONGEST_RECORD,
    Item,
    ItemChange,
    decode_change,
    encode_item,
    item_key,
)

HEAT = Item(
    id=6,
    attributes={"title": "Heat", "genres": ["crime", "drama"], "year": 1995, "hd": True},
    published=1,
    expires=2,
    available=False,
    embedding=[0.5, -1.0],
)


@pytest.mark.parametrize("item", [HEAT, Item(id="6"), Item(id='a "b" ü'), Item(id=-(2**63))])
def test_what_is_encoded_is_decoded(item: Item) -> None:
    assert decode_change(item_key(item.id), encode_item(item)) == ItemChange(item.id, item)
    assert decode_change(item_key(item.id), None) == ItemChange(item.id, None)


def test_equal_items_have_equal_bytes() -> None:
    one = Item(id=1, attributes={"a": 1, "b": "x"})
    other = Item(id=1, attributes={"b": "x", "a": 1})
    assert encode_item(one) == encode_item(other)


def test_a_number_and_its_text_are_two_items() -> None:
    assert item_key(7) != item_key("7")


def test_a_record_that_says_little_is_an_item() -> None:
    change = decode_change(b"7", b'{"id":7}')
    assert change == ItemChange(7, Item(id=7))
    assert change.item is not None
    assert change.item.available


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (None, b'{"id":7}', "no key"),
        (None, None, "no key"),
        (b"8", b'{"id":7}', "its key is 7 as JSON, found 8"),
        (b'"7"', b'{"id":7}', "its key is 7 as JSON"),
        (b" 7", b'{"id":7}', "its key is 7 as JSON"),
        (b'"\\u00fc"', '{"id":"ü"}'.encode(), "its key is"),
        (b"true", None, "Expected"),
        (b'""', None, "Expected"),
        (b"garbage", None, "malformed"),
        (b"7", b"", "truncated"),
        (b"7", b"[" * 60_000, ""),
        (b"7", b'{"id":7,"expire":1}', "unknown field `expire`"),
        (b"7", b'{"id":7,"format":2}', "a newer release of everfresh wrote it"),
        (b"7", b'{"id":7,"attributes":{"a b":1}}', "the name of an attribute"),
        (b"7", b'{"id":7,"attributes":{"expires":1}}', "expires is a field of the item itself"),
        (b"7", b'{"id":7,"attributes":{"a":null}}', "Expected"),
        (b"7", b'{"id":7,"attributes":{"a":[true]}}', "Expected"),
        (b"7", b'{"id":7,"attributes":{"a":1e999}}', "out of range"),
        (b"7", b'{"id":7,"attributes":{"a":"\\ud800"}}', ""),
        (b"7", b'{"id":7,"expires":-1}', ">= 0"),
        (b"7", b'{"id":7,"expires":1700000000000000}', "<= 253402300799999"),
        (b"7", b'{"id":7,"available":1}', "Expected `bool`"),
        (b"7", b'{"id":7,"embedding":[]}', "length >= 1"),
        (b"7", b'{"id":7,"a":"' + b"x" * LONGEST_RECORD + b'"}', "at most 65,536 bytes"),
        (b"7", b'{"id":7,"attributes":' + msgspec.json.encode(dict.fromkeys(
            (f"a{n}" for n in range(65)), 1)) + b"}", "length <= 64"),
    ],
)  # fmt: skip
def test_a_foreign_record_is_named(key: bytes | None, value: bytes | None, why: str) -> None:
    with pytest.raises(ForeignRecord) as caught:
        decode_change(key, value)
    assert why.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


def test_damaged_bytes_raise_nothing_else() -> None:
    whole, dice = encode_item(HEAT), random.Random(7)
    for _ in range(3_000):
        raw = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        try:
            change = decode_change(b"6", bytes(raw))
        except ForeignRecord:
            continue
        assert change.item is not None
        assert encode_item(change.item)


def test_an_item_too_long_for_a_record_is_not_encoded() -> None:
    long = {f"a{n}": "x" * 4_000 for n in range(20)}
    with pytest.raises(ForeignRecord, match="at most 65,536 bytes, found 80"):
        encode_item(Item(id=1, attributes=dict(long)))

"""What tomorrow's release writes is refused today by one line that says to upgrade; and what only a
newer release reads has a number of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from everfresh.contracts import manifest, window
from everfresh.contracts.errors import ForeignRecord, NewerRecord
from everfresh.contracts.experiments.definition import decode_definition
from everfresh.contracts.experiments.track import decode_tracks
from everfresh.contracts.foreign import ARRAY, JSON, MAP, NEWER, Look, advice, newer
from everfresh.contracts.items.record import decode_change
from everfresh.contracts.report import decode_status, decode_window_report
from everfresh.contracts.sequence import pack_sequence, unpack_header

TOMORROW = {"format": 9, "all": ["is", "otherwise"]}


@pytest.mark.parametrize(
    ("look", "encode"),
    [
        (JSON, lambda number: msgspec.json.encode({"format": number, "x": {"y": 1}})),
        (MAP, lambda number: msgspec.msgpack.encode({"x": 1, "format": number})),
        (ARRAY, lambda number: msgspec.msgpack.encode([number, "x", {"y": 1}])),
    ],
)
def test_a_newer_format_is_told_whatever_else_the_bytes_hold(
    look: Look, encode: Callable[[int], bytes]
) -> None:
    assert newer(encode(4), (2, 3), look) == (
        f"format 3 expected, or an earlier one, found 4; {NEWER}"
    )
    for known in (1, 2, 3):
        assert newer(encode(known), (2, 3), look) == ""


@pytest.mark.parametrize("raw", [None, b"", b"\xc1", b"{}", b"[" * 5000, b'{"format":"x"}', b"7"])
def test_foreign_bytes_are_of_no_newer_format(raw: bytes | None) -> None:
    assert [newer(raw, (1,), look) for look in (JSON, MAP, ARRAY)] in (["", "", ""],)


def test_what_an_earlier_release_wrote_has_its_own_advice() -> None:
    assert advice(1, (2, 3), "an older one") == "an older one"
    assert advice(4, (2, 3), "an older one") == NEWER


RECORDS: dict[str, Callable[[], Any]] = {
    "slice": lambda: window.decode_slice_record(
        msgspec.msgpack.encode({"type": "closed", **TOMORROW})
    ),
    "definition": lambda: decode_definition(msgspec.json.encode(TOMORROW)),
    "item": lambda: decode_change(b"7", msgspec.json.encode(TOMORROW)),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_of_tomorrow_is_newer_and_says_what_to_upgrade(kind: str) -> None:
    with pytest.raises(NewerRecord, match="found 9; a newer release of everfresh") as caught:
        RECORDS[kind]()
    assert caught.value.format == 9
    assert "\n" not in str(caught.value)


def test_a_state_and_tracks_of_tomorrow_say_what_to_upgrade() -> None:
    value = pack_sequence(1, 1, 0, b"")
    with pytest.raises(Exception, match="found 9: a newer release of everfresh"):
        unpack_header(b"\x09" + value[1:])
    for raw in ({"format": 2, "tracks": []}, {"format": 2, "tracks": {}}):
        with pytest.raises(ValueError, match="found 2; a newer release of everfresh"):
            decode_tracks(msgspec.json.encode(raw))


def test_a_slice_that_was_cut_by_number_has_a_number_of_its_own() -> None:
    assert window.READABLE == (window.FORMAT, window.CUT_FORMAT)
    assert manifest.READABLE == (1, manifest.FORMAT, 3, manifest.NEWER_FORMAT)


def test_records_without_a_number_may_get_fields() -> None:
    """Of exposures and outcomes ``tests/contracts`` says the same beside their own fields."""
    status = {"component": "x", "kind": "worker", "time": 1, "state": "running", "figures": {}}
    assert decode_status(msgspec.json.encode({**status, "tomorrow": [1]})).component == "x"
    with pytest.raises(ForeignRecord):
        decode_window_report(msgspec.json.encode({"tomorrow": 1}))

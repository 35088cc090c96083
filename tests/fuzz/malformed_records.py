"""Records that no producer should send, and some that are sound. All chance comes from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Headers = list[tuple[str, Any]]
Input = tuple[bytes | None, bytes | None, Headers]

_ODD_NUMBERS = ["1e400", "-1e400", "1e-400", "9" * 400, "-0", "0.1", "1E5", "NaN", "-Infinity"]
_EDGES = [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 253_402_300_799_999, 253_402_300_800_000]
_TEXTS = ["", " ", "\x00", "ü" * 100, "ü" * 101, "\ud800", "7", "view", "💥", "a" * 300, "\u202ex"]
_FIELDS = ["id", "type", "time", "user_id", "item_id", "value", "request_id", "attributes"]
_HEADERS = ["ce_specversion", "ce_id", "ce_type", "ce_time", "ce_source", "content-type", "", "ü"]
_HEADER_VALUES = [None, b"", b"1.0", b"0.3", b"\xff\xfe", b"view", b"2026-01-01T00:00:00Z"]
_TIMES = [b"2026-01-01T00:00:00", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00+23:59", b"now"]


class MalformedRecords:
    """An endless stream of inputs. ``max_bytes`` is the decoder's limit, which some exceed."""

    def __init__(self, seed: int, actions: list[str], max_bytes: int) -> None:
        self._choose = random.Random(seed)
        self._actions = actions
        self._max_bytes = max_bytes
        self._number = 0
        self._kinds: list[Callable[[], Input]] = [
            self._valid,
            self._mutated,
            self._mutated,
            self._mutated,
            self._odd_fields,
            self._odd_fields,
            self._odd_literals,
            self._odd_envelope,
            self._random,
            self._nested,
        ]

    def __iter__(self) -> Iterator[Input]:
        while True:
            yield self._choose.choice(self._kinds)()

    def _event(self) -> dict[str, Any]:
        choose = self._choose
        self._number += 1
        event: dict[str, Any] = {
            "id": f"n{self._number}",
            "type": choose.choice(self._actions),
            "time": 1_700_000_000_000 + self._number,
            "user_id": choose.choice([choose.randrange(50), f"u{choose.randrange(50)}"]),
            "item_id": choose.choice([choose.randrange(500), f"i{choose.randrange(500)}"]),
        }
        if choose.random() < 0.3:
            event["value"] = choose.uniform(-5, 5)
        if choose.random() < 0.2:
            event["attributes"] = {"page": choose.randrange(9), "deep": [{"x": None}]}
        return event

    def _valid(self) -> Input:
        event = self._event()
        return str(event["user_id"]).encode(), json.dumps(event).encode(), []

    def _mutated(self) -> Input:
        """A valid value with some bytes changed, cut out, doubled or put in."""
        choose = self._choose
        key, value, _ = self._valid()
        raw = bytearray(value or b"")
        for _ in range(choose.choice([1, 1, 1, 2, 5])):
            at = choose.randrange(len(raw) + 1)
            end = min(len(raw), at + choose.choice([1, 1, 2, 8, 60]))
            how = choose.randrange(5)
            if how == 0:
                raw[at:end] = bytes(255 - byte for byte in raw[at:end])
            elif how == 1:
                del raw[at:end]
            elif how == 2:
                raw[at:at] = raw[at:end]
            elif how == 3:
                raw[at:at] = choose.randbytes(end - at)
            else:
                raw[at:end] = choose.choice([b'"', b"{", b"}", b",", b"\\u", b"\xc3", b"null"])
        return key, bytes(raw), []

    def _odd(self, depth: int = 0) -> Any:
        choose = self._choose
        kind = choose.randrange(9 if depth < 4 else 6)
        if kind < 6:
            return (
                None,
                choose.choice([True, False]),
                choose.choice(_EDGES),
                choose.choice(_TEXTS),
                choose.randrange(-10, 10),
                choose.uniform(-1e300, 1e300),
            )[kind]
        if kind == 6:
            return [self._odd(depth + 1) for _ in range(choose.randrange(3))]
        return {choose.choice(_TEXTS + _FIELDS): self._odd(depth + 1)}

    def _odd_fields(self) -> Input:
        """A JSON object whose fields hold anything, or are missing, or are not ours."""
        choose = self._choose
        event = self._event()
        key = str(event["user_id"]).encode()
        for _ in range(choose.choice([1, 1, 2, 4])):
            field = choose.choice([*_FIELDS, "other"])
            if choose.random() < 0.25:
                event.pop(field, None)
            else:
                event[field] = self._odd()
        if choose.random() < 0.7:
            key = str(event.get("user_id")).encode(errors="replace")
        return key, json.dumps(event).encode(errors="replace"), []

    def _odd_literals(self) -> Input:
        """Numbers that JSON has or has not, fields that stand twice, escapes without an end."""
        choose = self._choose
        event = self._event()
        text = json.dumps(event)
        field = choose.choice(_FIELDS)
        literal = choose.choice([*_ODD_NUMBERS, '"\\ud83d"', '"\\x"', "tru", "[[", "'x'"])
        text = text[:-1] + f', "{field}": {literal}' + "}"
        return str(event["user_id"]).encode(), text.encode(), []

    def _odd_envelope(self) -> Input:
        """Key and headers that are not as they should be; the value may lack what they hold."""
        choose = self._choose
        event = self._event()
        good = str(event["user_id"]).encode()
        for field in choose.sample(["id", "type", "time"], choose.randrange(4)):
            event.pop(field, None)
        headers: Headers = [
            (choose.choice(_HEADERS), choose.choice(_HEADER_VALUES + _TIMES))
            for _ in range(choose.randrange(6))
        ]
        key = choose.choice([good, good, good, None, b"", b"\xff", choose.randbytes(5)])
        return key, choose.choice([json.dumps(event).encode()] * 4 + [None, b""]), headers

    def _random(self) -> Input:
        choose = self._choose
        size = choose.choice([0, 1, 3, 20, 200, self._max_bytes, self._max_bytes + 1])
        return choose.choice([None, b"7", choose.randbytes(9)]), choose.randbytes(size), []

    def _nested(self) -> Input:
        """As deep as the limit allows, closed or not."""
        choose = self._choose
        depth = choose.choice([10, 100, self._max_bytes // 4])
        begin, end = choose.choice([("[", "]"), ('{"a":', "}")])
        inner = begin * depth + "1" + end * choose.choice([depth, 0])
        event = json.dumps(self._event())
        value = choose.choice([inner, event[:-1] + ', "attributes": {"x": ' + inner + "}}"])
        return b"7", value.encode(), []

"""Whatever bytes a topic holds, a reader gets a record that it can use, or ``ForeignRecord``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts import report, window
from everfresh.contracts.errors import ForeignRecord
from everfresh.contracts.experiments.definition import Namespace, decode_definition
from everfresh.contracts.exposure import Exposure, decode_exposure
from everfresh.contracts.outcome import Feedback, Outcome, decode_outcome
from everfresh.contracts.sequence import encode_entry
from tests.contracts.experiments.definitions import define

PART = window.SlicePart(1, 7, 0, ["view"], [window.Example("u", b"", b"", [1], [2])])
CLOSED = window.SliceClosed(1, 1, 7, 0, 2, 1, 1, 1, "aa")
EXPOSED = Exposure("r", "u", 1, "default", 2, 0, "model", ["a", 4], [0.5, 0.25], 1, 9)
DEFINITION = define(namespace=Namespace("page", 0.25, 0.5), since=3, stopped=9)
OUTCOME = Outcome("0-1", 5, 9, EXPOSED, [Feedback(1, 6, 6, "click", "a", 0, None)])
REPORT = report.WindowReport(
    4, 1, 2, 3, 1, 2, {"live": {"hr10": 0.5}}, [1, 2], 5, 6, {"train": 1.0}
)
LIVED = {"version": 3, "epoch": 0, "joined_ms": 1, "live_since_ms": 2, "lived": [(3, 0, 2)]}
STATUS = report.ComponentStatus("replica-a", "replica", 1, "serving", {**LIVED, "reason": ""})

READERS: dict[str, tuple[Callable[[bytes | None], object], Any, Callable[[Any], bytes]]] = {
    "part": (window.decode_slice_record, PART, msgspec.msgpack.encode),
    "closed": (window.decode_slice_record, CLOSED, msgspec.msgpack.encode),
    "exposure": (decode_exposure, EXPOSED, msgspec.json.encode),
    "experiment": (decode_definition, DEFINITION, msgspec.json.encode),
    "outcome": (decode_outcome, OUTCOME, msgspec.json.encode),
    "report": (report.decode_window_report, REPORT, msgspec.json.encode),
    "status": (report.decode_status, STATUS, msgspec.json.encode),
}
HOSTILE = ["text", -1, 10**30, 1.5, None, True, [], {}, [[1, 0]], ["\x1b[2J", "[/x]"], 2**63]


def changed(tree: Any, choose: st.DataObject) -> Any:
    """The same with one value, somewhere within, made hostile or left out."""
    names = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    name = choose.draw(st.sampled_from(names))
    inner = tree[name]
    if isinstance(inner, (dict, list, tuple)) and inner and choose.draw(st.booleans()):
        value = changed(list(inner) if isinstance(inner, tuple) else inner, choose)
    elif isinstance(tree, dict) and choose.draw(st.booleans()):
        return {key: value for key, value in tree.items() if key != name}
    else:
        value = choose.draw(st.sampled_from(HOSTILE))
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[name] = value
    return copy


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
def test_a_record_is_of_its_types_and_bounds_or_foreign_and_raises_nothing_else(
    kind: str, data: st.DataObject
) -> None:
    decode, record, encode = READERS[kind]
    tree = {**msgspec.to_builtins(record, builtin_types=(bytes,)), "type": kind}
    whole = encode(tree)
    assert decode(whole) == decode(msgspec.json.encode(record) if whole[:1] == b"{" else whole)
    tree = changed(tree, data)
    try:
        raw = encode(tree)
    except (OverflowError, TypeError):  # what msgpack itself has no form for
        return
    cut = data.draw(st.integers(0, len(raw)))
    damaged = raw[:cut] + data.draw(st.binary(max_size=3)) + raw[cut + 1 :]
    for content in (raw, damaged, raw[:cut], raw + b"\xff"):
        try:
            read = decode(content)
        except ForeignRecord:
            continue
        # What is accepted can be written again.
        again = msgspec.to_builtins(read, builtin_types=(bytes,)) | {"type": kind}
        assert decode(encode(again)) == read


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "raw", [None, b"", b"garbage", b"\xff\xfe", b'{"x":"\xff"}', b"[" * 100_000]
)
def test_bytes_that_are_no_record_are_foreign(kind: str, raw: bytes | None) -> None:
    with pytest.raises(ForeignRecord):
        READERS[kind][0](raw)


@pytest.mark.parametrize("name", LIVED)
@pytest.mark.parametrize("value", ["abc", -1, 10**30, 1.5, {}, [1], [["a", 0, 1]]])
def test_a_status_with_a_figure_that_views_cannot_compute_with_is_foreign(
    name: str, value: object
) -> None:
    figures = {**STATUS.figures, name: value}
    with pytest.raises(ForeignRecord):
        report.decode_status(
            msgspec.json.encode({**msgspec.structs.asdict(STATUS), "figures": figures})
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": b"\x05"},
        {"targets": b"\x00" * 40},
        {"targets": encode_entry("a", 9, 1, None)},
        {"context": b"\x20" + b"\xff" * 32},
        {"offsets": [1, 2]},
        {"appended": []},
    ],
)
def test_an_example_that_cannot_be_read_is_foreign(changes: dict[str, Any]) -> None:
    good = window.Example("u", b"", encode_entry("a", 0, 1, None), [1], [2])
    assert window.decode_example(good, ["view"]).targets[0].item == "a"
    with pytest.raises(ForeignRecord):
        window.decode_example(msgspec.structs.replace(good, **changes), ["view"])

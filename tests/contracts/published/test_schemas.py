"""What the published schemas refuse the decoders refuse, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, TypeChecker, validators

from everfresh.contracts.errors import EventRejected, ForeignRecord
from everfresh.contracts.event import MAX_ID_BYTES
from everfresh.contracts.event_codec import MAX_VALUE, EventDecoder
from everfresh.contracts.exposure import decode_exposure
from everfresh.contracts.foreign import MAX_TIME_MS
from everfresh.contracts.outcome import decode_outcome
from everfresh.contracts.published.schemas import RECORDS, json_schema

ACTIONS = ["view", "click"]
EVENT, EXPOSURE, OUTCOME = RECORDS
DECODER = EventDecoder(ACTIONS, 1_000_000)


def as_it_is_written(checker: TypeChecker, value: Any) -> bool:
    """7.0 is no integer here: the one thing that JSON Schema cannot say of a number."""
    del checker
    return isinstance(value, int) and not isinstance(value, bool)


STRICT = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", as_it_is_written),
)


def accepts(record: Any, value: Any) -> bool:
    return bool(STRICT(json_schema(record, ACTIONS)).is_valid(value))


def decodes_event(value: Any) -> bool:
    user = value.get("user_id") if isinstance(value, dict) else None
    try:
        DECODER.decode(str(user).encode(), json.dumps(value).encode(), ())
    except EventRejected:
        return False
    return True


def decodes(decode: Callable[[bytes], Any], value: Any) -> bool:
    try:
        decode(json.dumps(value).encode())
    except ForeignRecord:
        return False
    return True


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_each_schema_is_one_and_accepts_its_examples(record: Any) -> None:
    schema = json_schema(record, ACTIONS)
    STRICT.check_schema(schema)
    assert len(schema["examples"]) >= 2
    for example in schema["examples"]:
        STRICT(schema).validate(example)
    assert "``" not in json.dumps(schema)


def test_the_product_reads_the_examples() -> None:
    any_type = EventDecoder(None, 65_536)
    for example in EVENT.examples:
        key = str(example["user_id"]).encode()
        event = any_type.decode(key, json.dumps(example).encode(), ())
        assert msgspec.to_builtins(event) == example
    for example in EXPOSURE.examples:
        assert msgspec.to_builtins(decode_exposure(json.dumps(example).encode())) == example
    for example in OUTCOME.examples:
        assert msgspec.to_builtins(decode_outcome(json.dumps(example).encode())) == example


ASCII = st.text(st.characters(codec="ascii"), max_size=MAX_ID_BYTES + 3)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) - 2, 2**63 + 1),
    st.sampled_from([0, -1, MAX_TIME_MS, MAX_TIME_MS + 1, "", "x" * 200, "x" * 201, 2**63 - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([MAX_VALUE, MAX_VALUE * 1.001, -MAX_VALUE]),
    ASCII,
    st.sampled_from(ACTIONS),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(ASCII, SCALARS))
GOOD = st.fixed_dictionaries(
    {
        "id": ASCII.filter(bool),
        "type": st.sampled_from(ACTIONS),
        "time": st.integers(0, MAX_TIME_MS),
        "user_id": st.one_of(st.integers(-(2**63), 2**63 - 1), st.just("ada")),
        "item_id": st.one_of(st.integers(-(2**63), 2**63 - 1), st.just("b")),
    },
    optional={
        "value": st.none() | st.floats(-1e30, 1e30),
        "request_id": st.none() | ASCII,
        "attributes": st.none() | st.dictionaries(ASCII, VALUES),
        "of another release": VALUES,
    },
)
FIELDS = (*EVENT.type.__struct_fields__, "else")


@st.composite
def nearly_events(draw: st.DrawFn) -> Any:
    """An event in which up to two fields are anything, or missing."""
    event = dict(draw(GOOD))
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        event.pop(name, None)
        if draw(st.booleans()):
            event[name] = draw(VALUES)
    return event


@given(st.one_of(nearly_events(), VALUES))
def test_the_schema_of_events_and_the_decoder_refuse_the_same(value: Any) -> None:
    assert accepts(EVENT, value) == decodes_event(value)


def test_what_json_schema_cannot_say_is_refused_by_the_decoder_alone() -> None:
    good = dict(EVENT.examples[0])
    plain = Draft202012Validator(json_schema(EVENT, ACTIONS))
    for name, value in (("user_id", 7.0), ("user_id", "ä" * 150), ("item_id", "\ud800")):
        event = {**good, name: value}
        assert plain.is_valid(event)
        key = str(value).encode(errors="replace")
        with pytest.raises(EventRejected):
            DECODER.decode(key, json.dumps(event).encode(), ())


@st.composite
def nearly(draw: st.DrawFn, record: Any) -> Any:
    """One of the examples in which a value, somewhere, is anything or missing."""
    value = json.loads(json.dumps(draw(st.sampled_from(list(record.examples)))))
    part: Any = value
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            return value
        key = draw(st.sampled_from(keys))
        if isinstance(part[key], dict | list) and draw(st.booleans()):
            part = part[key]
            continue
        if isinstance(part, dict) and draw(st.booleans()):
            del part[key]
        else:
            part[key] = draw(VALUES)
        return value


@given(nearly(EXPOSURE))
def test_the_schema_of_exposures_and_the_decoder_refuse_the_same(value: Any) -> None:
    assert accepts(EXPOSURE, value) == decodes(decode_exposure, value)


@given(nearly(OUTCOME))
def test_the_schema_of_outcomes_and_the_decoder_refuse_the_same(value: Any) -> None:
    assert accepts(OUTCOME, value) == decodes(decode_outcome, value)

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.adapters.observe.tracing.contexts import sampled_context, sampled_records
from tests.adapters.observe.tracing.recorded import SPAN, TRACE, traceparent
from tests.streaming.sample_log import LogRecord

BROKEN = {
    "empty": b"",
    "missing value": None,
    "words": b"hello",
    "too short": traceparent()[:-1],
    "too long for its version": traceparent() + b"0",
    "capitals": traceparent().upper(),
    "version ff": b"ff" + traceparent()[2:],
    "no trace": traceparent(trace=0),
    "no span": traceparent(span=0),
    "no hexadecimal": traceparent().replace(b"4", b"g"),
    "no ASCII": traceparent()[:-4] + "é".encode() + b"01",
    "binary": bytes(range(256)),
    "endless": traceparent() + b"-" + b"0" * 1_000_000,
    "underscores": traceparent().replace(b"-", b"_"),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
def test_a_header_that_is_no_trace_context_is_none_and_not_a_word_of_it_is_logged(
    value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert sampled_context([("traceparent", value)]) is None
        record = LogRecord(0, 0, b"1", b"", [("traceparent", value)])  # type: ignore[list-item]
        assert list(sampled_records([record])) == []
    assert caplog.text == ""


def test_a_sampled_context_is_that_of_its_sender() -> None:
    for headers in (
        [("content-type", b"json"), ("traceparent", traceparent())],
        [(b"traceparent", traceparent()), (b"tracestate", b"a=1,b=2")],
        [("traceparent", traceparent().decode())],
        [("traceparent", b"junk"), ("traceparent", traceparent())],
    ):
        found = sampled_context(headers)
        assert found is not None
        assert (found.trace_id, found.span_id, found.is_remote) == (TRACE, SPAN, True)
    assert found.trace_state == {}


def test_what_is_not_sampled_is_none() -> None:
    assert sampled_context([("traceparent", traceparent(flags=0))]) is None
    assert sampled_context([("traceparent", traceparent(flags=2))]) is None
    assert sampled_context([("traceparent", traceparent(flags=3))]) is not None


def test_a_later_version_of_the_format_is_read_as_far_as_it_is_known() -> None:
    found = sampled_context([("traceparent", b"01" + traceparent()[2:] + b"-later")])
    assert found is not None
    assert found.trace_id == TRACE


@pytest.mark.parametrize("state", [b"=", b"a=1," * 200, b"\xff", b"a=1,a=2", b"x" * 100_000])
def test_a_broken_tracestate_is_left_out_and_the_trace_stays(
    state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    found = sampled_context([("traceparent", traceparent()), ("tracestate", state)])
    assert found is not None
    assert (found.trace_id, found.trace_state) == (TRACE, {})
    assert caplog.text == ""


def test_a_good_tracestate_goes_on() -> None:
    found = sampled_context([("traceparent", traceparent()), ("tracestate", b"a=1,b=2")])
    assert found is not None
    assert found.trace_state.to_header() == "a=1,b=2"


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "x"]), st.binary())))
def test_no_headers_are_an_error(headers: list[tuple[str, bytes]]) -> None:
    assert sampled_context(headers) is None
    assert list(sampled_records([LogRecord(0, 0, b"1", b"", headers)])) == []


@given(st.binary() | st.text(alphabet="ab=,@\t 1_-*/").map(str.encode))
def test_no_tracestate_is_an_error(state: bytes) -> None:
    found = sampled_context([("traceparent", traceparent()), ("tracestate", state)])
    assert found is not None
    assert found.trace_id == TRACE

from __future__ import annotations

import pytest

from everfresh.contracts.settings import Settings, SourceSettings, TracingSettings
from everfresh.streaming.sources.conversion import Conversion, Converted
from everfresh.streaming.sources.mapping import Headers

SHOP = SourceSettings(topic="clicks", user="user", item="item", type="view")
NOW = 1_782_907_200_000
TRACE: Headers = [("traceparent", b"00-1-2-01"), ("tracestate", b"a=1")]


def converted(headers: Headers, traced: bool) -> Converted:
    settings = Settings(sources={"shop": SHOP}, tracing=TracingSettings(enabled=traced))
    made = Conversion("shop", settings).convert("p", NOW, None, headers, b'{"user":1,"item":2}')
    assert isinstance(made, Converted)
    return made


def test_an_event_stands_in_the_trace_of_its_record() -> None:
    made = converted([("other", b"1"), *TRACE], traced=True)
    assert made.headers[0] == ("ce_specversion", b"1.0")
    assert made.headers[-2:] == TRACE
    assert "other" not in dict(made.headers)


@pytest.mark.parametrize("value", [None, b"", b"x" * 1_000_000])
def test_what_is_no_trace_context_is_not_handed_on(value: bytes | None) -> None:
    assert "traceparent" not in dict(converted([("traceparent", value)], traced=True).headers)


def test_without_traces_no_header_of_a_source_is_looked_at() -> None:
    assert "traceparent" not in dict(converted(TRACE, traced=False).headers)
    settings = Settings(sources={"shop": SHOP})
    assert not Conversion("shop", settings).reads_headers

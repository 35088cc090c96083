from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.observe.tracing import exporter as exporting
from everfresh.adapters.observe.tracing.exporter import Said, TerseExporter, endpoint, scrubbed
from everfresh.adapters.observe.tracing.opening import open_spans
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings, TracingSettings
from tests.adapters.observe.tracing.collector import collecting

ON = Settings(tracing=TracingSettings(enabled=True))
SECRET = "Bearer top-secret"
NOW = (1_000.0, 2_000.0)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a part waits for as it ends."""
    monkeypatch.setattr("everfresh.adapters.observe.tracing.spans._CLOSE_S", 60.0)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without variables of whoever runs the tests, and with the loggers as they were."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    loggers = [exporting.trace_exporter.__name__, exporting._shared_internal.__name__]
    before = [list(logging.getLogger(name).filters) for name in loggers]
    yield
    for name, filters in zip(loggers, before, strict=True):
        logging.getLogger(name).filters[:] = filters


class Wavering(SpanExporter):
    """Fails as it is told, saying so as the library does."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self.fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.fails:
            self._said.last = "Connection refused"
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def test_spans_reach_a_collector_by_the_standard_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting() as (collector, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20top-secret")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        spans.write("window", NOW, {"everfresh.events": 3}, own=spans.window((7, 0)))
        spans.close()
    (span,) = collector.spans
    assert (span.service, span.name) == ("everfresh-worker", "window")
    assert span.attributes == {"everfresh.events": 3}
    assert (span.began_ns, span.ended_ns) == (1_000_000_000, 2_000_000_000)
    assert collector.headers[0]["authorization"] == SECRET


@pytest.mark.parametrize(
    "named", [{"OTEL_SERVICE_NAME": "shop"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}]
)
def test_the_operators_name_of_the_service_comes_before_ours(
    named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as (collector, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        spans.write("window", NOW, {})
        spans.close()
    assert [span.service for span in collector.spans] == ["shop"]


def test_a_collector_that_is_away_stops_nothing_and_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:pass@127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.01")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    with caplog.at_level(logging.INFO):
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        for _ in range(5_000):
            spans.write("window", NOW, {})
        spans.close()
    lines = [line for line in caplog.messages if "cannot be sent" in line]
    assert lines == caplog.messages
    assert len(lines) == 1
    assert f"to http://127.0.0.1:{port}" in lines[0]
    for secret in ("top-secret", "pass@"):
        assert secret not in caplog.text


def test_an_outage_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    said = Said()
    inner = Wavering(said)
    terse = TerseExporter(inner, said, Said())
    with caplog.at_level(logging.INFO):
        for fails in (False, True, True, True, False, False, True):
            inner.fails = fails
            terse.export([])
    assert [line.split(";")[0] for line in caplog.messages] == [
        "spans cannot be sent to http://localhost:4318: Connection refused",
        "spans are sent again",
        "spans cannot be sent to http://localhost:4318: Connection refused",
    ]


@pytest.mark.parametrize("turn", [1, 2])
def test_spans_that_come_too_fast_are_dropped_in_one_line(
    turn: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in a process that has written spans before."""
    with collecting() as (collector, url):
        collector.free.clear()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        spans.write("first", NOW, {})
        assert collector.asked.wait(240)
        for _ in range(50):
            spans.write("later", NOW, {})
        collector.free.set()
        spans.close()
    assert [line.split(",")[0] for line in caplog.messages] == [
        f"spans come faster than {url} takes them"
    ]
    assert [span.name for span in collector.spans] == ["first", "later", "later"]


def test_a_refusal_says_what_the_collector_said_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting() as (collector, url):
        collector.status = 401
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={SECRET}")
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        spans.write("window", NOW, {})
        spans.close()
    assert len(caplog.messages) == 1
    assert "Unauthorized" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("broken", [SECRET, f"authorization {SECRET}", f"a=b,{SECRET}"])
def test_headers_that_cannot_be_read_are_not_logged(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", broken)
    open_spans(ON, "worker", "worker-0", "cluster").close()
    assert "OTEL_EXPORTER_OTLP_HEADERS" in caplog.text
    assert "secret" not in caplog.text


def test_what_an_error_repeats_of_a_header_or_a_url_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:pw@host:1/x")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=s%20t,b=other")
    assert scrubbed("for s t and other at me:pw@host") == "for … and … at …@host"
    assert "other" not in scrubbed("invalid header value: 'other'")
    assert endpoint() == "https://host:1/x"


@pytest.mark.parametrize(
    "wrong", [{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"}, {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}]
)
def test_a_variable_that_opentelemetry_refuses_is_one_line(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="OpenTelemetry cannot be set up"):
        open_spans(ON, "worker", "worker-0", "cluster")


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
)
@pytest.mark.parametrize("url", ["http://me:secret@[::1:4318", "http://me:secret@a\u2100b:4318"])
def test_an_endpoint_that_is_no_url_is_refused_without_its_password(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError, match=f"{name} is no URL") as refused:
        open_spans(ON, "worker", "worker-0", "cluster")
    assert "secret" not in str(refused.value)


def test_opentelemetrys_own_switch_turns_spans_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as (collector, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        spans = open_spans(ON, "worker", "worker-0", "cluster")
        spans.write("window", NOW, {}, own=spans.window((7, 0)))
        spans.close()
    assert collector.spans == []

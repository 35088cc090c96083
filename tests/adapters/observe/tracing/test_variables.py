"""Which variables of OpenTelemetry go along to processes that another's Ray starts."""

from __future__ import annotations

import os

import pytest

from everfresh.adapters.observe.tracing.variables import take_variables, trace_variables
from everfresh.contracts.settings import Settings

HERE = {"OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_HEADERS": "key=s3cret", "HOME": "/root"}


def test_those_of_opentelemetry_go_along_where_traces_are_on() -> None:
    assert trace_variables(Settings(), HERE) == {}
    del (wanted := dict(HERE))["HOME"]
    assert trace_variables(Settings(tracing={"enabled": True}), HERE) == wanted


def test_what_was_given_comes_before_what_the_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OTEL_SERVICE_NAME": "ray", "OTEL_BSP_MAX_QUEUE_SIZE": "9"})
    take_variables({"OTEL_SERVICE_NAME": "shop"})
    assert os.environ == {"OTEL_SERVICE_NAME": "shop", "OTEL_BSP_MAX_QUEUE_SIZE": "9"}

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


NODE = {
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://strangers:4318/v1/traces",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "key=theirs",
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_SDK_DISABLED": "true",
    "PATH": "/bin",
}


def test_spans_and_login_go_nowhere_that_the_node_says_and_up_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://ours:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=s3cret",
    }
    monkeypatch.setattr(os, "environ", dict(NODE))
    take_variables(ours)
    assert os.environ == {"PATH": "/bin", **ours}


def test_where_up_has_none_those_of_the_node_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(NODE))
    take_variables({})
    assert os.environ == NODE

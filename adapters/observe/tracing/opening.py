"""Opens the traces of one process, by OpenTelemetry's standard variables."""

from __future__ import annotations

import os
from importlib import metadata

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from everfresh.adapters.observe.tracing.exporter import open_exporter
from everfresh.adapters.observe.tracing.extra import require_tracing
from everfresh.adapters.observe.tracing.names import TraceNames
from everfresh.adapters.observe.tracing.spans import GivenIds, Spans
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name


def open_spans(
    settings: Settings,
    part: str,
    instance: str,
    cluster: str,
    exporter: SpanExporter | None = None,
) -> Spans:
    """The spans of a process: ``part`` is such as ``worker``, ``instance`` names this one.

    ``cluster`` is the Kafka cluster's own id. ``SettingsError`` in one line where a variable of
    OpenTelemetry has a value that it cannot have.
    """
    require_tracing(settings)
    ids = GivenIds()
    try:
        # One of our own: Ray, which uses OpenTelemetry too, has none of our spans, nor we its.
        provider = TracerProvider(
            resource=_resource(part, instance), id_generator=ids, shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(exporter or open_exporter()))
        topic = topic_name(settings.kafka.topic_prefix, EVENTS)
        return Spans(provider, ids, TraceNames(cluster, topic))
    except (ValueError, RuntimeError, ImportError) as error:
        raise SettingsError(
            f"tracing.enabled is true, and OpenTelemetry cannot be set up: {error}; correct its "
            "OTEL_ variable"
        ) from None


def _resource(part: str, instance: str) -> Resource:
    """Who writes the spans; a name that the operator has given comes before ours."""
    ours = {"service.instance.id": instance, "service.version": metadata.version("everfresh")}
    named = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not (os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in named):
        ours["service.name"] = f"everfresh-{part}"
    return Resource.create(ours)

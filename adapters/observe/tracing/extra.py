"""What traces need, told in one line before anything is started; loads nothing of OpenTelemetry."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

from everfresh.contracts.errors import MissingDependency, SettingsError
from everfresh.contracts.settings import Settings

_NEEDED = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_ACCEPTED = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}
"""Variables of the standard that choose among exporters, and the one choice that there is here."""
_NUMBERS = (
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)


def require_tracing(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """``MissingDependency`` or ``SettingsError`` where traces are on and cannot be."""
    if not settings.tracing.enabled:
        return
    try:
        found = importlib.util.find_spec(_NEEDED)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise MissingDependency(
            "tracing.enabled is true, and OpenTelemetry's exporter is not installed; install "
            "everfresh[tracing] where worker, trainer and replicas run, or turn tracing.enabled off"
        )
    for name, accepted in _ACCEPTED.items():
        value = environment.get(name, "").strip().lower()
        if value not in ("", accepted):
            raise SettingsError(
                f"tracing.enabled is true, and {name} is {value!r}; everfresh sends traces by OTLP "
                f"over HTTP alone: set {name} to {accepted}, or turn tracing.enabled off"
            )
    for name in _NUMBERS:
        value = environment.get(name, "").strip()
        if value and not (value.isascii() and value.isdigit()):
            raise SettingsError(f"{name} is {value!r}; a whole number was expected")

"""OpenTelemetry's variables, for processes that a Ray of others starts with its environment.

As arguments of an actor, not in Ray's ``runtime_env``: that is logged, and one of them may be a
login (``OTEL_EXPORTER_OTLP_HEADERS``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from everfresh.contracts.settings import Settings

_PREFIX = "OTEL_"


def trace_variables(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Those of this process, where traces are on."""
    if not settings.tracing.enabled:
        return {}
    return {name: value for name, value in environment.items() if name.startswith(_PREFIX)}


def take_variables(given: Mapping[str, str]) -> None:
    """Have them here. Of what they do not name, what this process has stays."""
    os.environ.update(given)

"""OpenTelemetry's variables, for processes that a Ray of others starts with its environment.

As arguments of an actor, not in Ray's ``runtime_env``: that is logged, and one of them may be a
login (``OTEL_EXPORTER_OTLP_HEADERS``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from everfresh.contracts.settings import Settings

_PREFIX = "OTEL_"
_WHERE = ("OTEL_EXPORTER_", "OTEL_PYTHON_EXPORTER_", "OTEL_TRACES_", "OTEL_SDK_DISABLED")
"""Begin the names of those that say where spans go, with which login, and which are sent."""


def trace_variables(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Those of this process, where traces are on."""
    if not settings.tracing.enabled:
        return {}
    return {name: value for name, value in environment.items() if name.startswith(_PREFIX)}


def take_variables(given: Mapping[str, str]) -> None:
    """Have them here, and none of the node's own that say where spans go and which are sent: a
    special one among them, such as that of traces' endpoint, would beat a general one of ours, and
    our spans and login would go to somebody else. Where none are given the node's own count."""
    if given:
        for name in [name for name in os.environ if name.startswith(_WHERE)]:
            del os.environ[name]
    os.environ.update(given)

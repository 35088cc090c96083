"""Traces by OpenTelemetry, where ``tracing.enabled`` is set: an extra, and off by default."""

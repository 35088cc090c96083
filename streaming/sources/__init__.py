"""Bridges: records of topics of another shape become events, each exactly once.

``mapping`` and ``positions`` are pure; ``reader``, ``writer`` and ``bridge`` do it with Kafka.
"""

from __future__ import annotations

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings import Settings


def require_source(settings: Settings, name: str) -> None:
    """``SettingsError`` where there is no such source, or no broker."""
    if name not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise SettingsError(
            f"there is no source {name!r} in the settings (there: {known}); add a table "
            f"[sources.{name}], as docs/bring-your-data.md shows"
        )
    if not settings.kafka.bootstrap_servers:
        raise SettingsError(
            "kafka.bootstrap_servers is empty; set EVERFRESH_KAFKA__BOOTSTRAP_SERVERS to the "
            "brokers' host:port, or run `everfresh up`"
        )

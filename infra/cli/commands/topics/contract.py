"""``everfresh contract``: the records that other programs write or read, for their tools."""

from __future__ import annotations

from importlib.metadata import version

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.published.asyncapi import asyncapi_document
from everfresh.contracts.published.schemas import RECORDS, json_schema
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.streams import write_json


def run_contract(settings: Settings, topic: str) -> None:
    """Print the AsyncAPI document, or the JSON Schema of one topic's values; ``SettingsError`` for
    a topic that has none."""
    if not topic:
        write_json(asyncapi_document(settings, version("everfresh")), indent=2)
        return
    for record in RECORDS:
        if topic in (record.name, settings.kafka.topic_prefix + record.name):
            write_json(json_schema(record, settings.events.actions), indent=2)
            return
    names = ", ".join(record.name for record in RECORDS)
    raise SettingsError(f"there is no schema of topic {topic!r}; name one of {names}, or none")

"""Users of a secured broker, each with the rights that docs/kafka.md gives a part of the loop."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from everfresh.contracts.kafka.security import KafkaSecurity
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import ALL
from tests.integration.secured_broker import Allowed, SecuredBroker

PAGE = Path(__file__).parents[2] / "docs" / "kafka.md"
EVERY_TOPIC = [spec.name for spec in ALL]
Make = Callable[..., Settings]


def rows(part: str, prefix: str, *without: str) -> list[Allowed]:
    """What the page's table allows a part, less the rights that are named as ``Write windows``."""
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {part} |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    allowed = []
    for right, cell in zip(("Read", "Write", "Describe"), cells[1:4], strict=True):
        names = re.findall("`(.*?)`", cell) if cell != "all topics" else EVERY_TOPIC
        allowed += [(right, "topic", name) for name in names]
    for right, group in re.findall(r"(\w+) on (?:all topics|group `(.*?)`)", cells[4]):
        kind, names = ("group", [group]) if group else ("topic", EVERY_TOPIC)
        allowed += [(right, kind, name) for name in names]
    for identity in re.findall(r"Write on transactional id `(.*?)`", cells[4]):
        allowed += [("Write", "transactional_id", identity)]
    assert allowed, part
    return [
        Allowed(f"{kind}:{prefix}{name}".replace("NAME-N", "shop-0").replace("NAME", "shop"), right)
        for right, kind, name in allowed
        if f"{right} {name}" not in without
    ]


class Users:
    """Logs in as a part of the loop, with its row of the table."""

    def __init__(self, broker: SecuredBroker, make_settings: Make, prefix: str) -> None:
        self._broker = broker
        self._make = make_settings
        self._prefix = prefix
        self._numbers = itertools.count()
        self.servers = broker.servers("SCRAM")

    def settings(self, part: str, *without: str, **groups: Any) -> Settings:
        """Settings with the login of a new user, who has the part's rights less some."""
        name = f"{self._prefix}of=us, {next(self._numbers)}"  # what SCRAM escapes
        self._broker.allow(name, *rows(part, self._prefix, *without))
        security = self._broker.add_user(name)
        return self.secured(security, self.servers, **groups)

    def secured(self, security: KafkaSecurity, servers: str, **groups: Any) -> Settings:
        fields = msgspec.structs.asdict(security)
        kafka = {"bootstrap_servers": servers, "partitions": 2, "security": fields}
        return self._make(
            kafka=kafka | groups.pop("kafka", {}),
            windows={"seconds": 0.5},
            joins={"horizon_s": 0.5},
            **groups,
        )

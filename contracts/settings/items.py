"""Settings of the catalogue: what an answer may hold."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import Field, field_validator

from everfresh.contracts.items.rules import Rules
from everfresh.contracts.settings.group import Group


class ItemSettings(Group):
    """What replicas make of the topic `items`."""

    unlisted: Literal["allow", "exclude"] = Field(
        "allow",
        description="Whether an answer may hold items that have no record in the catalogue. Set "
        "`exclude` once the catalogue is complete, to show nothing else.",
    )
    rules: dict[str, Any] = Field(
        {},
        description="Rules that every recommendation obeys, as a request writes them "
        "(docs/items.md); similar items obey the filter. A request adds its filter to this one; "
        "each other part that it names replaces the one here.",
    )
    cold: int = Field(
        10_000,
        ge=0,
        description="Of the newest records of the catalogue, how many are looked at for items "
        "without events, which are then recommended by what they are; 0 recommends none of them. "
        "More reaches further back; 10,000 of them cost each request 0.25 ms of a processor.",
    )
    most: int = Field(
        2_000_000,
        ge=1,
        description="Most items that a replica keeps records of, those that were removed among "
        "them; records of others are left out and counted. Raise it for a larger catalogue: plan "
        "400 bytes of each replica's memory for an item.",
    )

    @field_validator("rules")
    @classmethod
    def _are_rules(cls, rules: dict[str, Any]) -> dict[str, Any]:
        try:
            msgspec.convert(rules, Rules)
        except msgspec.ValidationError as error:
            raise ValueError(f"{error}; docs/items.md shows rules") from None
        return rules

    @property
    def default_rules(self) -> Rules | None:
        """What they say; ``None`` where there are none."""
        return msgspec.convert(self.rules, Rules) if self.rules else None

"""``everfresh items get``: what the catalogue says of items."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from everfresh.contracts.errors import RunError
from everfresh.contracts.event import parse_id
from everfresh.contracts.items.record import Item
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.items.known import changes_so_far
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_error, write_json


def run_get(settings: Settings, ids: Sequence[str]) -> None:
    """Print them in the order of ``ids``; ``RunError`` at the end for those that are not there."""
    wanted = [parse_id(word) for word in ids]
    found: dict[int | str, Item | None] = dict.fromkeys(wanted)
    for change in changes_so_far(with_brokers(settings), write_error):
        if change.id in found:
            found[change.id] = change.item
    for item in found.values():
        if item is not None:
            write_json(msgspec.to_builtins(item))
    if missing := [name for name, item in found.items() if item is None]:
        shown = ", ".join(map(repr, missing[:10]))
        kinds = {"text" if isinstance(name, str) else "numbers" for name in missing}
        raise RunError(
            f"the catalogue has no record of {shown} (looked for as {' and '.join(sorted(kinds))}; "
            "7 and '\"7\"' are two ids)"
        )

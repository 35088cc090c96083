"""``everfresh experiment list`` and ``assign``: what is defined, and what a user gets by it."""

from __future__ import annotations

from typing import Any

import msgspec

from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.tables import new_table
from everfresh.infra.cli.views.text import utc_time


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Print all definitions, the newest last."""
    settings = with_brokers(settings)
    with DefinitionReader(settings.kafka.brokers, settings.kafka.topic_prefix) as reader:
        reader.read_to_end()
        known, left_out = sorted(reader.definitions().values(), key=_age), reader.left_out()
    if as_json:
        write_json({"experiments": [_described(*each) for each in known]})
        return
    console = Terminal()
    if not known:
        console.print("no experiment is defined; `everfresh experiment start` defines one")
    else:
        columns = ("experiment", "state", "arms", "users", "started", "version")
        table = new_table(*columns, right=("version",))
        for version, each in known:
            arms = ", ".join(f"{arm.name} {arm.weight:.4g}" for arm in each.arms)
            row = (each.name, state_of(each), arms, users_of(each), utc_time(each.started))
            table.add_row(*row, str(version))
        console.print(table)
    if left_out:
        console.print(left_out)


def state_of(definition: Definition) -> str:
    """``running``, ``holdout`` or ``stopped``."""
    if definition.stopped is not None:
        return "stopped"
    return "holdout" if definition.holdout else "running"


def users_of(definition: Definition) -> str:
    """Which users are in, in words."""
    share = f"{definition.coverage:.4%}".rstrip("0%").rstrip(".") + " %"
    space = definition.namespace
    if space is None:
        return share
    return f"{share} of {space.name} {space.begin:g} to {space.end:g}"


def _age(known: tuple[int, Definition]) -> int:
    version, definition = known
    return version if definition.since is None else definition.since


def _described(version: int, definition: Definition) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(definition),
        "state": state_of(definition),
        "definition_version": version,
    }

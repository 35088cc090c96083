"""``everfresh experiment list`` and ``assign``: what is defined, and what a user gets by it."""

from __future__ import annotations

from typing import Any

import msgspec

from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.contracts.event import UserId, parse_id
from everfresh.contracts.experiments.assignment import Assignment, Place
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition
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
            arms = (" with " if each.interleaved else ", ").join(map(_arm, each.arms))
            row = (each.name, state_of(each), arms, users_of(each), utc_time(each.started))
            table.add_row(*row, str(version))
        console.print(table)
    if left_out:
        console.print(left_out)


def run_assign(settings: Settings, user: str, *, as_json: bool) -> None:
    """Print the user's arm, and the place in each running experiment."""
    who = parse_id(user)
    settings = with_brokers(settings)
    with DefinitionReader(settings.kafka.brokers, settings.kafka.topic_prefix) as reader:
        reader.read_to_end()
        assignments, left_out = reader.assignments(), reader.left_out()
    assignment, places = assignments.assign(who), assignments.places(who)
    elsewhere = settings.experiments.assigner != "definitions"
    if as_json:
        write_json({"user": who, "assignment": assignment, "experiments": places})
        return
    console = Terminal()
    if places:
        table = new_table("experiment", "bucket", "stands", right=("bucket",))
        for place in places:
            definition = reader.definitions()[place.experiment][1]
            stands = _stands(place, assignment, definition)
            table.add_row(place.experiment, f"{place.bucket:.4f}", stands)
        console.print(table)
    console.print(_sentence(who, assignment))
    known = reader.definitions().values()
    for name in [each.name for _, each in known if each.moved and each.stopped is None]:
        console.print(
            f"{name} is sticky, and its coverage or weights have changed: if the user was shown an "
            "arm of it before, replicas keep to that arm"
        )
    if elsewhere:
        console.print(
            f"this is what the definitions say; experiments.assigner is "
            f"{settings.experiments.assigner}, so replicas do not assign by them"
        )
    if left_out:
        console.print(left_out)


def _stands(place: Place, decided: Assignment, definition: Definition) -> str:
    if not place.in_namespace:
        return "outside its part of the namespace"
    if place.assignment is None:
        closed = [arm.name for arm in definition.arms if arm.closed is not None]
        or_closed = f", or is that of a closed arm ({', '.join(closed)})" if closed else ""
        return f"not in: the bucket is outside the {users_of(definition)}{or_closed}"
    if place.assignment == decided:
        return f"in, arm {place.assignment.arm}; decides"
    return f"would be in, arm {place.assignment.arm}; {decided.experiment} comes first"


def _sentence(user: UserId, decided: Assignment) -> str:
    if decided.experiment is None:
        return f"user {user!r} is in no experiment: arm {decided.arm}, track {decided.track}"
    return (
        f"user {user!r} is in {decided.experiment}: arm {decided.arm}, track {decided.track}, by "
        f"definition version {decided.definition_version}"
    )


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


def _arm(arm: Arm) -> str:
    share = f"{arm.name} {arm.weight:.4g}"
    if arm.track != DEFAULT:
        share += f" by track {arm.track}"
    return share if arm.closed is None else f"{share} closed {utc_time(arm.closed)}"


def _age(known: tuple[int, Definition]) -> int:
    version, definition = known
    return version if definition.since is None else definition.since


def _described(version: int, definition: Definition) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(definition),
        "state": state_of(definition),
        "definition_version": version,
    }

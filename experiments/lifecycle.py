"""Start, ramp, stop: an experiment's next record, from the definitions that there are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

import msgspec

from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import (
    DEFAULT,
    LONGEST_TEXT,
    Arm,
    Definition,
    require_sound,
    require_tracks,
)

Known = Mapping[str, tuple[int, Definition]]
"""Version and definition by name."""


def start(known: Known, definition: Definition, tracks: Collection[str] = (DEFAULT,)) -> Definition:
    """The definition itself; ``ExperimentRefused`` where it is wrong, names none of ``tracks``, its
    name was used before, or a running one has some of its part of a namespace."""
    require_sound(definition)
    require_tracks(definition, tracks)
    if definition.name in known:
        earlier = known[definition.name][1]
        if earlier.stopped is None:
            raise ExperimentRefused(
                f"experiment {definition.name} runs already; widen it with `everfresh experiment "
                "ramp`, or end it with `everfresh experiment stop`"
            )
        raise ExperimentRefused(
            f"experiment {definition.name} was stopped, and its outcomes keep its name; choose "
            "another name"
        )
    _require_disjoint(known, definition)
    return definition


def ramp(known: Known, name: str, coverage: float, now_ms: int) -> Definition:
    """The experiment with another coverage (0 to 1), so that nobody who is in leaves it: more, or
    if it is sticky also less.

    ``ExperimentRefused`` where it does not run, has that much already, or people would leave it.
    """
    version, definition = _running(known, name)
    if definition.sticky and 0.0 <= coverage < definition.coverage:
        return _next(version, definition, coverage=coverage, changed=now_ms, moved=True)
    if not definition.coverage < coverage <= 1.0:
        raise ExperimentRefused(
            f"experiment {name} has coverage {definition.coverage:g}; a ramp raises it, to 1 at "
            f"most, and {coverage:g} was asked for. To have fewer users in, stop it and start "
            "another"
        )
    return _next(version, definition, coverage=coverage, changed=now_ms)


def reweigh(known: Known, name: str, weights: Mapping[str, float], now_ms: int) -> Definition:
    """A sticky experiment with other weights, for users who come from now on.

    ``ExperimentRefused`` where it does not run or is not sticky, or where ``weights`` are not those
    of all its arms.
    """
    version, definition = _running(known, name)
    if not definition.sticky:
        raise ExperimentRefused(
            f"other weights would move users of {name} to other arms; only an experiment that was "
            "started with --sticky can have them. Stop it and start another"
        )
    names = [arm.name for arm in definition.arms]
    if sorted(weights) != sorted(names):
        raise ExperimentRefused(
            f"the arms of {name} are {', '.join(names)}; give a weight to each, and to no other"
        )
    arms = [msgspec.structs.replace(arm, weight=weights[arm.name]) for arm in definition.arms]
    made = _next(version, definition, arms=arms, changed=now_ms, moved=True)
    require_sound(made)
    return made


def stop(known: Known, name: str, now_ms: int) -> Definition:
    """The experiment as stopped: its users get the default arm. ``ExperimentRefused`` where it does
    not run."""
    return _next(*_running(known, name), changed=now_ms, stopped=now_ms)


def close_arm(known: Known, name: str, arm: str, why: str, now_ms: int) -> Definition:
    """The experiment with one arm closed: its users get what they would get without the experiment,
    and nobody else moves. ``ExperimentRefused`` where it does not run, has no such arm, or the arm
    is the control (the first one) or closed already."""
    version, definition = _running(known, name)
    if definition.interleaved:
        raise ExperimentRefused(
            f"{name} is interleaved: its users see both tracks, so no arm can be closed; end it "
            "with `everfresh experiment stop`"
        )
    at = _arm_number(definition, arm)
    if at == 0:
        raise ExperimentRefused(
            f"{arm} is the control of {name}, which the others are compared with; end the whole "
            "experiment with `everfresh experiment stop`"
        )
    if definition.arms[at].closed is not None:
        raise ExperimentRefused(f"arm {arm} of {name} is closed already")
    closed = msgspec.structs.replace(
        definition.arms[at], closed=now_ms, why=why[:LONGEST_TEXT], reopened=None
    )
    return _with_arm(version, definition, at, closed, now_ms)


def reopen_arm(known: Known, name: str, arm: str, now_ms: int) -> Definition:
    """The experiment with a closed arm open again; no guardrail closes it from then on."""
    version, definition = _running(known, name)
    at = _arm_number(definition, arm)
    if definition.arms[at].closed is None:
        raise ExperimentRefused(f"arm {arm} of {name} is open")
    opened = msgspec.structs.replace(definition.arms[at], closed=None, reopened=now_ms)
    return _with_arm(version, definition, at, opened, now_ms)


def sharing(known: Known, definition: Definition) -> list[str]:
    """The other running experiments of its kind that can have users in common with it; those that
    were started before it come first with these users."""
    return [
        other.name
        for _, other in known.values()
        if other.name != definition.name
        and other.stopped is None
        and other.holdout == definition.holdout
        and not _apart(other, definition)
    ]


def _next(version: int, definition: Definition, **changes: object) -> Definition:
    since = version if definition.since is None else definition.since
    return msgspec.structs.replace(definition, since=since, **changes)


def _with_arm(version: int, definition: Definition, at: int, arm: Arm, now_ms: int) -> Definition:
    arms = [*definition.arms[:at], arm, *definition.arms[at + 1 :]]
    return _next(version, definition, arms=arms, changed=now_ms)


def _arm_number(definition: Definition, arm: str) -> int:
    names = [each.name for each in definition.arms]
    if arm not in names:
        raise ExperimentRefused(
            f"{definition.name} has no arm {ascii(arm)[:80]}; its arms are {', '.join(names)}"
        )
    return names.index(arm)


def _running(known: Known, name: str) -> tuple[int, Definition]:
    if name not in known:
        running = [each.name for _, each in known.values() if each.stopped is None]
        near = get_close_matches(name, running, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ExperimentRefused(
            f"there is no experiment {ascii(name)[:80]}; {meant}`everfresh experiment list` lists "
            "all"
        )
    version, definition = known[name]
    if definition.stopped is not None:
        raise ExperimentRefused(f"experiment {name} was stopped, and does not start again")
    return version, definition


def _require_disjoint(known: Known, definition: Definition) -> None:
    space = definition.namespace
    if space is None:
        return
    for _, other in known.values():
        taken = other.namespace
        if (
            other.stopped is None
            and other.holdout == definition.holdout
            and taken is not None
            and space.overlaps(taken)
        ):
            raise ExperimentRefused(
                f"experiment {other.name} has {taken.begin:g} to {taken.end:g} of namespace "
                f"{space.name}, which overlaps {space.begin:g} to {space.end:g}; take a part of it "
                "that is free, or another namespace"
            )


def _apart(one: Definition, other: Definition) -> bool:
    spaces = one.namespace, other.namespace
    if spaces[0] is None or spaces[1] is None or spaces[0].name != spaces[1].name:
        return False
    return not spaces[0].overlaps(spaces[1])

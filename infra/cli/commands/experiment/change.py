"""``everfresh experiment start``, ``ramp`` and ``stop``: a definition is checked and written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition, Namespace
from everfresh.contracts.experiments.exploration import MOST_CANDIDATES, Explore
from everfresh.contracts.settings import Settings
from everfresh.experiments import lifecycle
from everfresh.experiments.lifecycle import Known
from everfresh.experiments.publishing import publish
from everfresh.infra.cli.commands.experiment.diverting import divert, require_divertible
from everfresh.infra.cli.commands.experiment.show import users_of
from everfresh.infra.cli.replicas import say_followed
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.run.run_record import is_supervised

Kind = Literal["", "holdout", "diverted", "interleaved", "sticky"]
_EXPLORE = re.compile(
    r"(?P<arm>[^=:]+)=(?P<share>[0-9.]+)(:(?P<top>\d{1,9}))?(:fresh=(?P<fresh>\d{1,9}))?"
)
_ARM = re.compile(r"(?P<name>[^=@]*)(=(?P<weight>[^=@]*))?(@(?P<track>[^=@]*))?")


class Asked(NamedTuple):
    """What is written of arms: each as ``--arm`` has it, and what they explore as ``--explore``."""

    arms: Sequence[str] = ()
    explore: Sequence[str] = ()


def run_start(
    settings: Settings,
    name: str,
    asked: Asked,
    coverage: float,
    namespace: str,
    seed: str,
    kind: Kind = "",
) -> None:
    """Define an experiment and start it; ``ExperimentRefused`` where that cannot be."""
    holdout, diverted = kind == "holdout", kind == "diverted"
    if holdout and coverage >= 1.0:
        raise ExperimentRefused(
            "a holdout needs --coverage, the share of users who are in no experiment, such as 0.05"
        )
    if kind == "sticky" and not settings.joins.horizon_s:
        raise ExperimentRefused(
            "a sticky experiment needs the stream worker to read exposures, and joins.horizon_s is "
            "0; set it to some seconds"
        )
    now_ms = time.time_ns() // 1_000_000
    definition = Definition(
        name=name,
        arms=_exploring(
            _arms(asked.arms or (["holdout"] if holdout else ["control", "treatment"])),
            asked.explore,
        ),
        seed=seed or name,
        coverage=coverage,
        namespace=_namespace(namespace) if namespace else None,
        holdout=holdout,
        diverted=diverted,
        interleaved=kind == "interleaved",
        sticky=kind == "sticky",
        started=now_ms,
        changed=now_ms,
    )
    seen: list[str] = []

    def make(known: Known) -> Definition:
        seen[:] = lifecycle.sharing(known, definition)
        return lifecycle.start(known, definition, tracks)

    tracks = _tracks(settings, definition)
    if diverted:
        require_divertible(settings, definition)
    _change(settings, make, lambda made: f"{name} runs: {_split(made)}, for {users_of(made)}")
    if seen:
        Terminal().print(
            f"users who are in {', '.join(seen)} too get their arm there, since it was started "
            "first; give experiments parts of one --namespace to keep them apart"
        )


def run_ramp(settings: Settings, name: str, coverage: float) -> None:
    """Take more users in, or fewer in a sticky one; ``ExperimentRefused`` where people would leave
    it."""
    now_ms = time.time_ns() // 1_000_000
    _change(
        settings,
        lambda known: lifecycle.ramp(known, name, coverage, now_ms),
        lambda made: f"{name} is ramped: {_split(made)}, for {users_of(made)}; {_who_stays(made)}",
    )


def run_reweigh(settings: Settings, name: str, arms: Sequence[str]) -> None:
    """Give the arms of a sticky experiment other weights."""
    now_ms = time.time_ns() // 1_000_000
    given = _arms(arms)
    weights = {arm.name: arm.weight for arm in given}
    if len(weights) < len(given) or any(arm.track != DEFAULT for arm in given):
        raise ExperimentRefused("name each arm once, as NAME=WEIGHT; its track stays")
    _change(
        settings,
        lambda known: lifecycle.reweigh(known, name, weights, now_ms),
        lambda made: f"{name} has other weights: {_split(made)}; {_who_stays(made)}",
    )


def _who_stays(made: Definition) -> str:
    if made.moved:
        return "whoever was shown an arm keeps it"
    return "nobody changed arm"


def run_reopen(settings: Settings, name: str, arm: str) -> None:
    """Open an arm that a guardrail closed; ``ExperimentRefused`` where it is open."""
    now_ms = time.time_ns() // 1_000_000
    _change(
        settings,
        lambda known: lifecycle.reopen_arm(known, name, arm, now_ms),
        lambda made: f"{name}: {arm} is open again; no guardrail closes it from now on",
    )


def run_stop(settings: Settings, name: str) -> None:
    """End an experiment; ``ExperimentRefused`` where it does not run."""
    now_ms = time.time_ns() // 1_000_000
    _change(
        settings,
        lambda known: lifecycle.stop(known, name, now_ms),
        lambda made: f"{name} is stopped; its users get the arm {DEFAULT}",
    )


def _change(
    settings: Settings, make: Callable[[Known], Definition], say: Callable[[Definition], str]
) -> None:
    home = settings.home.resolve()
    settings = with_brokers(settings)
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        version, definition = publish(log, make)
    if definition.diverted and definition.stopped is None:
        divert(settings, definition)
    console = Terminal()
    console.print(f"{say(definition)} (definition version {version})")
    if not is_supervised(home):
        console.print("nothing is up in this home; replicas elsewhere follow when they read it")
        return
    if settings.experiments.assigner != "definitions":
        console.print(
            "the replicas do not assign by definitions, since experiments.assigner is "
            f"{settings.experiments.assigner}"
        )
        return
    say_followed(console, settings, "experiments_read", version)


def _tracks(settings: Settings, definition: Definition) -> list[str]:
    """The tracks that arms may name. The weight store is asked only where one is named."""
    if all(arm.track == DEFAULT for arm in definition.arms):
        return [DEFAULT]
    declared = FsspecTracks(settings).declared()
    return [DEFAULT, *(each.name for each in declared.values() if each.served)]


def _arms(words: Sequence[str]) -> list[Arm]:
    """Arms from ``NAME``, ``NAME=WEIGHT``, ``NAME@TRACK`` or ``NAME=WEIGHT@TRACK``."""
    found = [_ARM.fullmatch(word) for word in words]
    for word, match in zip(words, found, strict=True):
        if match is None:
            raise ExperimentRefused(f"--arm is NAME=WEIGHT or NAME; found {ascii(word)[:80]}")
    given = [match for match in found if match is not None]
    weighted = sum(match["weight"] is not None for match in given)
    if weighted not in (0, len(given)):
        raise ExperimentRefused(
            f"{weighted} of {len(given)} arms have a weight; give one to each, or to none, and "
            "they get equal ones"
        )
    return [
        Arm(
            match["name"],
            _share("--arm", match["weight"]) if weighted else 1 / len(given),
            match["track"] if match["track"] is not None else DEFAULT,
        )
        for match in given
    ]


def _exploring(arms: Sequence[Arm], words: Sequence[str]) -> list[Arm]:
    """The arms with what they explore."""
    by_name = {arm.name: arm for arm in arms}
    for word in words:
        found = _EXPLORE.fullmatch(word)
        if found is None or found["arm"] not in by_name:
            raise ExperimentRefused(
                f"--explore is ARM=SHARE, with :TOP or :fresh=SECONDS, and ARM one of "
                f"{', '.join(by_name)}; found {ascii(word)[:80]}"
            )
        fresh = found["fresh"]
        tree = {
            "share": _share("--explore", found["share"]),
            "top": int(found["top"] or 100),
            "fresh_s": None if fresh is None else int(fresh),
        }
        try:
            explore = msgspec.convert(tree, Explore)
        except msgspec.ValidationError as error:
            raise ExperimentRefused(
                f"--explore {ascii(word)[:80]} cannot be: {error}. The share is above 0 and below "
                f"1, TOP is 1 to {MOST_CANDIDATES}"
            ) from None
        arm = by_name[found["arm"]]
        by_name[arm.name] = msgspec.structs.replace(arm, explore=explore)
    return list(by_name.values()) if len(by_name) == len(arms) else list(arms)


def _namespace(word: str) -> Namespace:
    name, *ends = word.split(":")
    if len(ends) != 2:
        raise ExperimentRefused(
            f"--namespace is NAME:BEGIN:END, such as home-page:0:0.5; found {ascii(word)[:80]}"
        )
    return Namespace(name, *(_share("--namespace", end) for end in ends))


def _share(option: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise ExperimentRefused(
            f"{option} takes shares of users, from 0 to 1; found {ascii(word)[:80]}"
        )
    return value


def _split(definition: Definition) -> str:
    if definition.interleaved:
        first, second = (f"{arm.name} by track {arm.track}" for arm in definition.arms)
        return f"{first} and {second} together in each answer"
    return ", ".join(
        f"{arm.name} {arm.weight:.4g}" + (f" by track {arm.track}" if arm.track != DEFAULT else "")
        for arm in definition.arms
    )

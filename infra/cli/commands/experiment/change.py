"""``everfresh experiment start``, ``ramp`` and ``stop``: a definition is checked and written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Literal

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition, Namespace
from everfresh.contracts.settings import Settings
from everfresh.experiments import lifecycle
from everfresh.experiments.lifecycle import Known
from everfresh.experiments.publishing import publish
from everfresh.infra.cli.commands.experiment.diverting import divert, require_divertible
from everfresh.infra.cli.commands.experiment.show import users_of
from everfresh.infra.cli.replicas import replicas_past
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.run.run_record import is_supervised

_ARM = re.compile(r"(?P<name>[^=@]*)(=(?P<weight>[^=@]*))?(@(?P<track>[^=@]*))?")


def run_start(
    settings: Settings,
    name: str,
    arms: Sequence[str],
    coverage: float,
    namespace: str,
    seed: str,
    kind: Literal["", "holdout", "diverted"] = "",
) -> None:
    """Define an experiment and start it; ``ExperimentRefused`` where that cannot be."""
    holdout, diverted = kind == "holdout", kind == "diverted"
    if holdout and coverage >= 1.0:
        raise ExperimentRefused(
            "a holdout needs --coverage, the share of users who are in no experiment, such as 0.05"
        )
    now_ms = time.time_ns() // 1_000_000
    definition = Definition(
        name=name,
        arms=_arms(arms or (["holdout"] if holdout else ["control", "treatment"])),
        seed=seed or name,
        coverage=coverage,
        namespace=_namespace(namespace) if namespace else None,
        holdout=holdout,
        diverted=diverted,
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
    """Take more users in; ``ExperimentRefused`` where that is not more."""
    now_ms = time.time_ns() // 1_000_000
    _change(
        settings,
        lambda known: lifecycle.ramp(known, name, coverage, now_ms),
        lambda made: f"{name} is widened: {_split(made)}, for {users_of(made)}; nobody changed arm",
    )


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
    following = replicas_past(settings, "experiments_read", version)
    console.print(f"followed by {following} of {settings.serving.replica_range.least} replicas")
    if following < settings.serving.replica_range.least:
        console.print("the others follow as soon as they can; their log says what they wait for")


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
    return ", ".join(
        f"{arm.name} {arm.weight:.4g}" + (f" by track {arm.track}" if arm.track != DEFAULT else "")
        for arm in definition.arms
    )

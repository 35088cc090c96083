"""The processes of the loop: how each is started, what it needs, and how it gets its settings.

Children get every setting through the environment. So a child has its supervisor's settings,
whatever settings files lie in its working directory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from everfresh import serving, streaming, trainer
from everfresh.adapters.kafka.presence.other_trainers import other_trainers
from everfresh.adapters.machine.home_identity import home_place
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.kafka.security import PLAINTEXT
from everfresh.contracts.settings import FILE_VARIABLE, Settings
from everfresh.infra import broker, guard
from everfresh.infra.processes.processes import ChildSpec
from everfresh.streaming import follower, sources

BROKER, RAY, WORKER, TRAINER, SERVING = "broker", "ray", "worker", "trainer", "serving"
FOLLOWER, GUARD = "follower", "guard"

NEEDS: dict[str, tuple[str, ...]] = {
    BROKER: (),
    RAY: (),
    WORKER: (BROKER,),
    FOLLOWER: (BROKER,),
    TRAINER: (BROKER, RAY),
    SERVING: (BROKER, RAY),
    GUARD: (BROKER,),
}
"""A component is started or restarted only while those it needs answer, whoever runs them."""


def bridge_name(source: str) -> str:
    """The component that reads a source."""
    return f"bridge-{source}"


def needs(settings: Settings) -> dict[str, tuple[str, ...]]:
    """``NEEDS`` of these settings, with a bridge for each source."""
    return {**NEEDS, **{bridge_name(source): (BROKER,) for source in settings.sources}}


def stop_order(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """The components in stages: those that need others stop before those they need."""
    bridges = map(bridge_name, settings.sources)
    return ((*bridges, GUARD, SERVING, TRAINER, WORKER, FOLLOWER), (RAY, BROKER))


def settings_environment(settings: Settings) -> dict[str, str]:
    """Every setting as ``EVERFRESH_GROUP__NAME``; the inverse of loading them."""
    tree = settings.model_dump(mode="json")
    tree["home"] = str(settings.home.resolve())
    tables = tree.pop("sources")  # its names and paths are not for capitals
    variables = {
        **dict(_leaves("EVERFRESH", tree, "_")),
        **({"EVERFRESH_SOURCES": json.dumps(tables)} if tables else {}),
    }
    # No settings file has anything to add, and the path of one may be relative to elsewhere.
    return {**variables, FILE_VARIABLE: ""}


def _leaves(prefix: str, tree: Mapping[str, Any], joint: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        key = f"{prefix}{joint}{name.upper()}"
        if isinstance(value, dict):
            yield from _leaves(key, value, "__")
        elif value is not None:
            # A setting that is None has no form in the environment; it is None by default.
            yield key, value if isinstance(value, str) else json.dumps(value)


def broker_spec(home: Path, port: int, settings: Settings) -> ChildSpec:
    """The embedded Kafka broker."""
    options = {"--data": home / "kafka", "--port": port, "--heap-mb": settings.kafka.heap_mb}
    arguments = [str(argument) for pair in options.items() for argument in pair]
    argv = _run_package(broker, *arguments)
    return ChildSpec(BROKER, argv, settings_environment(settings), grace_s=4.0)


def is_guarded(settings: Settings) -> bool:
    """Whether arms of experiments are closed by a guardrail, by itself."""
    verdict = settings.verdict
    return verdict.guard_every_s > 0 and any(each.limit is not None for each in verdict.parsed)


def loop_specs(
    env: Mapping[str, str],
    names: Iterable[str] = (),
    *,
    follows: bool = False,
    guarded: bool = False,
) -> list[ChildSpec]:
    """Worker, trainer, serving, the bridges and the guard; where the machine ``follows``, follower
    and serving. They start in any order once broker and Ray are there."""
    packages = {WORKER: streaming, TRAINER: trainer, SERVING: serving}
    if follows:
        packages, names = {FOLLOWER: follower, SERVING: serving}, ()
    elif guarded:
        packages[GUARD] = guard
    argvs = {name: _run_package(package) for name, package in packages.items()}
    for source in names:
        argvs[bridge_name(source)] = _run_package(sources, source, "--patient")
    return [ChildSpec(name, argv, dict(env), grace_s=5.0) for name, argv in argvs.items()]


def require_followable(settings: Settings) -> None:
    """``SettingsError`` with what a machine that follows must name, where it lies elsewhere."""
    wanted = {
        "kafka.bootstrap_servers": (settings.kafka.bootstrap_servers, "the loop's brokers"),
        "state.snapshot_url": (settings.state.snapshot_url, "where the worker leaves snapshots"),
        "weights.url": (settings.weights.url, "where the trainer leaves versions"),
    }
    lacking = [f"{name} ({what})" for name, (value, what) in wanted.items() if not value]
    if lacking:
        raise SettingsError(
            "a machine that follows (--follow, follower.enabled) has neither broker, worker nor "
            f"trainer of its own; set {', '.join(lacking)} to what the other machine uses"
        )


def require_plaintext(settings: Settings) -> None:
    """``SettingsError`` where a login is set for a broker that is to be started here."""
    if (protocol := settings.kafka.security.protocol) != PLAINTEXT:
        raise SettingsError(
            f"kafka.security.protocol is {protocol} and kafka.bootstrap_servers is empty; name the "
            "brokers to join (--bootstrap-servers HOST:PORT). The broker that is started here "
            "without them listens on loopback in PLAINTEXT"
        )


def require_only_trainer(settings: Settings) -> None:
    """``RunError`` where another everfresh has these topics, before a worker takes its users."""
    kafka, place = settings.kafka, home_place(settings.home.resolve())
    if others := other_trainers(kafka.brokers, kafka.topic_prefix, place):
        others.close()


def with_addresses(settings: Settings, servers: str, address: str) -> Settings:
    """The settings with the brokers and the Ray that the run uses."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": servers})
    ray = settings.ray.model_copy(update={"address": address})
    return settings.model_copy(update={"kafka": kafka, "ray": ray})


def _run_package(package: ModuleType, *arguments: str) -> list[str]:
    """``python -m PACKAGE``. Importing a package loads none of its modules, nor torch or ray."""
    return [sys.executable, "-m", package.__name__, *arguments]

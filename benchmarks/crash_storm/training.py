"""The trainer's loop as a plain process, to be killed, and what its versions are compared by.

``python -m benchmarks.crash_storm.training`` runs it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from everfresh.adapters.observe.logs import configure_logging, run_main
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.settings import Settings, load_settings

SMALL: dict[str, Any] = {
    "model": {"dim": 8, "blocks": 1, "heads": 1, "max_length": 16, "negatives": 16},
    "trainer": {"epochs": 1, "batch_tokens": 256, "replay_examples": 32, "replay_ratio": 0.5},
    "weights": {"keep": 100_000},
}
"""A model that trains in no time, and a store that keeps every version for the comparison."""

_LIMIT_SECONDS = 300.0


def main() -> None:
    """Train until killed; ``EverfreshError`` where the loop cannot go on."""
    from everfresh.trainer.run import TrainerRun, wall_clock  # noqa: PLC0415 - torch, for this process alone
    from everfresh.trainer.wiring import open_ports  # noqa: PLC0415 - as above

    settings = load_settings()
    configure_logging("trainer", settings.home)
    logging.getLogger("everfresh.trainer").setLevel(logging.WARNING)
    run = TrainerRun(settings, open_ports, wall_clock)
    run.start()
    while not run.wait(1.0):
        pass
    raise EverfreshError(run.status().error or "the trainer ended by itself")


def in_peace(settings: Settings) -> Settings:
    """The same trainer with a home and a weight store of its own."""
    return settings.model_copy(update={"home": settings.home / "calm"})


def trained_through(
    settings: Settings, ends: Mapping[int, int], alive: Callable[[], None]
) -> dict[int, tuple[Any, ...]]:
    """What each version is, once one has been trained through ``ends``; ``TimeoutError`` if none.

    ``alive`` is called now and then, so that a trainer which died is started again.
    """
    store = FsspecWeightStore(settings.weights_url)
    until = time.monotonic() + _LIMIT_SECONDS
    while True:
        alive()
        pointer = store.pointer()
        if pointer is not None:
            through = store.manifest(pointer.version).trained_through
            if all(through.get(number, 0) >= end for number, end in ends.items()):
                return {number: _content(store, number) for number in store.versions()}
        if time.monotonic() > until:
            raise TimeoutError(f"no version in {settings.weights_url} is trained through {ends}")
        time.sleep(0.2)


def _content(store: FsspecWeightStore, number: int) -> tuple[Any, ...]:
    manifest = store.manifest(number)
    files = sorted((file.name, file.digest) for file in manifest.files)
    through = msgspec.to_builtins(manifest.trained_through)
    return manifest.parent, manifest.label, through, files


if __name__ == "__main__":
    run_main(main)

"""Says what Ray Serve is doing while a door opens, so that nobody waits without a word."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ray.exceptions import RayError

if TYPE_CHECKING:
    from ray.serve.schema import ServeStatus

_EVERY_S = 5.0

Say = Callable[[str], None]


@contextlib.contextmanager
def telling(application: str, ask: Callable[[], ServeStatus], say: Say) -> Iterator[None]:
    """Until the block ends, tell in a line every 5 s how far the application's replicas are, by
    what ``ask`` says of Serve."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_EVERY_S):
            # Where Ray does not answer at all, the start itself will say so.
            with contextlib.suppress(RayError, RuntimeError):
                said = describe(ask(), application)
                if not over.is_set():
                    say(said)

    # Ray may keep a question waiting for ever; that must not keep the process.
    threading.Thread(target=tell, name="serve-progress", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def describe(status: ServeStatus, application: str) -> str:
    """One line: how many replicas run, what the others do, and what Serve has to say of it."""
    found = status.applications.get(application)
    if found is None or not found.deployments:
        return "Ray Serve's controller starts"
    states: dict[str, int] = {}
    words = [found.message]
    for deployment in found.deployments.values():
        words.append(deployment.message)
        for state, number in deployment.replica_states.items():
            # Declared as members of a str enumeration, they come as plain text.
            states[str.lower(state)] = states.get(str.lower(state), 0) + number
    counted = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    said = " ".join(" ".join(words).split())
    return f"Ray Serve's replicas: {counted or 'none yet'}" + (
        f"; Serve says: {said}" if said else ""
    )

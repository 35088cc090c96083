"""What is done to something that is under load, step by step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import msgspec


class Step(msgspec.Struct, frozen=True):
    """A step by its name, with its beginning and end (monotonic seconds)."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began

    def holds(self, at: float) -> bool:
        """Whether that moment is within it."""
        return self.began <= at < self.ended


@contextlib.contextmanager
def taken(steps: list[Step], name: str, so_far: Callable[[], str] | None = None) -> Iterator[None]:
    """What is done meanwhile is the next of the steps, once it is done; ``so_far`` says what came
    of the load until then."""
    began = time.monotonic()
    print(f"{name} …", flush=True)
    yield
    steps.append(Step(name, began, time.monotonic()))
    said = f"; {so_far()}" if so_far else ""
    print(f"  {steps[-1].seconds:.1f} s{said}", flush=True)

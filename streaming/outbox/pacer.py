"""Shares the event loop between the making of slice parts and everything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class StepPacer:
    """Lets the partitions of a worker make their closed slices one step at a time.

    After each step the event loop is left to others for as long as the step took. So a fetch waits
    for one step at most, however many partitions close, and closing takes half of a busy loop.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def run(self, step: Callable[[], None]) -> None:
        """Call ``step``, which takes milliseconds, when its turn comes."""
        async with self._lock:
            began = time.perf_counter()
            step()
            await asyncio.sleep(time.perf_counter() - began)

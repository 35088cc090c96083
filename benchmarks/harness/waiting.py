"""Waiting for something that takes a while, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    """Return once ``true()`` holds; ``TimeoutError``, which names ``what``, after ``seconds``."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)

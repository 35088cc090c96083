"""The folder for downloads that all projects of a user share: Kafka's jars, the demo's data."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/everfresh``, by default ``~/.cache/everfresh``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "everfresh"

"""The folder for downloads that all projects of a user share: Kafka's jars, the demo's data."""

from __future__ import annotations

import os
from pathlib import Path

from everfresh.contracts.errors import MissingDependency


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/everfresh``, by default ``~/.cache/everfresh``."""
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".cache") / "everfresh"
    except RuntimeError:
        raise MissingDependency(
            "downloads are kept in the cache of your home, and there is no home: HOME is not set; "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from None

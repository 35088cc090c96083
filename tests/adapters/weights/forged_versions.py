"""Versions that somebody else has written into an unsigned store, hashes and all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def forge(
    folder: Path,
    version: int,
    name: str | None = None,
    data: bytes | None = None,
    said: int | None = None,
    changed: dict[str, Any] | None = None,
) -> None:
    """Replace a file by ``data``, say it has ``said`` bytes, put ``changed`` into the manifest."""
    where = folder / f"v{version:010d}"
    manifest = json.loads((where / "manifest.json").read_text()) | (changed or {})
    for file in [*manifest["files"], *manifest["stored"]]:
        if file["name"] != name:
            continue
        if data is not None:
            (where / file["name"]).write_bytes(data)
            file |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        if said is not None:
            file["bytes"] = said
    (where / "manifest.json").write_text(json.dumps(manifest))

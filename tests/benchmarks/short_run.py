"""Runs a benchmark in its short form, over little, and checks what every JSON object must have."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch


def short_run(main: Callable[[Sequence[str]], None], folder: Path, *options: str) -> dict[str, Any]:
    """The figures of ``main --quick --repeats 1``, all finite, without machine and versions."""
    threads, written = torch.get_num_threads(), folder / "figures.json"
    try:
        main(["--quick", "--repeats", "1", "--json", str(written), *options])
    finally:
        torch.set_num_threads(threads)
    figures: dict[str, Any] = json.loads(written.read_text())
    assert "cores" in figures.pop("machine")
    assert "torch" in figures.pop("versions")
    assert figures["seconds"] > 0
    assert all(math.isfinite(value) for value in figures.values())
    return figures

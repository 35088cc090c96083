"""Runs ``everfresh`` in a process of its own, as an operator does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MAIN = [sys.executable, "-c", "from everfresh.infra.cli import main; main()"]


def everfresh(*words: str, cwd: Path, **env: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; our own EVERFRESH_ variables are left out."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EVERFRESH_")}
    done = subprocess.run(
        [*MAIN, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[3]), **env},
        timeout=900,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr

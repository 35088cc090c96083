"""The environment of the peers: ``.venv-peers``, made from ``requirements.txt`` if missing."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def peers_python() -> str:
    """The peers' interpreter; makes their environment the first time."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        print("making .venv-peers …", file=sys.stderr)
        venv.create(FOLDER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
    return str(python)

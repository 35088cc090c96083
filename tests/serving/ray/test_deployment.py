"""What is withdrawn from a Serve, and what of others stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# In a process of its own: Ray Serve warns as it is loaded.
SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from everfresh.contracts.settings import Settings
from everfresh.serving.ray import deployment, ownership

settings = Settings(home=Path("/home/mine"))
owner = ownership.Owner.of(settings) if sys.argv[1] == "ours" else ownership.Owner("/other", "b")
applications = sys.argv[2].split(",")
ownership.serve_runs = lambda: True
ownership.read_owner = lambda: owner
ownership.release_serve = lambda: print("released")
deployment.serve = SimpleNamespace(
    status=lambda: SimpleNamespace(applications=dict.fromkeys(applications)),
    delete=lambda name: print("deleted", name),
    shutdown=lambda: print("shut down"),
)
deployment.withdraw(settings)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("whose", "applications", "done"),
    [
        ("ours", "everfresh", ["shut down", "released"]),
        ("ours", "everfresh,theirs", ["deleted everfresh", "released"]),
        ("theirs", "everfresh", []),
        ("theirs", "theirs", []),
    ],
)
def test_only_what_is_ours_is_withdrawn(whose: str, applications: str, done: list[str]) -> None:
    command = [sys.executable, "-c", SCRIPT, whose, applications]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == done

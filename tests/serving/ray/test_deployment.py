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
from everfresh.serving.ray import deployment, ownership, shared_serve
from everfresh.serving.ray.ownership import Owner

settings = Settings(home=Path("/home/mine"))
owners = {"ours": Owner.of(settings), "theirs": Owner("/other", "b"), "nobodys": None}
serve_owner, application_owner = (owners[name] for name in sys.argv[1].split(","))
applications = sys.argv[2].split(",")
ownership.serve_runs = lambda: True
ownership.await_end = lambda: None
ownership.owner_of_serve = lambda: serve_owner
ownership.owner_of_application = lambda name: application_owner
ownership.release_serve = lambda: print("released Serve")
ownership.release_application = lambda name: print("released", name)
door = shared_serve.Door("127.0.0.1", 1, 2)
shared_serve.read = lambda: shared_serve.Serve(dict.fromkeys(applications, "/"), door)
deployment.serve = SimpleNamespace(
    delete=lambda name: print("deleted", name),
    shutdown=lambda: print("shut down"),
)
print("stays" if deployment.withdraw(settings) else "closed")
"""

OURS = ["released everfresh"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("whose", "applications", "done"),
    [
        ("ours,ours", "everfresh", ["shut down", *OURS, "released Serve", "closed"]),
        ("ours,ours", "everfresh,theirs", ["deleted everfresh", *OURS, "stays"]),
        ("ours,ours", "theirs", [*OURS, "stays"]),
        ("theirs,ours", "everfresh", ["deleted everfresh", *OURS, "closed"]),
        ("nobodys,ours", "everfresh,theirs", ["deleted everfresh", *OURS, "closed"]),
        ("theirs,theirs", "everfresh", ["closed"]),
        ("nobodys,nobodys", "everfresh", ["closed"]),
        ("theirs,theirs", "theirs", ["closed"]),
    ],
)
def test_only_what_is_ours_is_withdrawn(whose: str, applications: str, done: list[str]) -> None:
    command = [sys.executable, "-c", SCRIPT, whose, applications]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == done

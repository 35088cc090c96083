"""What the public producer loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "faust", "rocksdict", "aiokafka", "torch", "ray", "infra")


@pytest.mark.process
def test_the_producer_needs_the_base_install_alone() -> None:
    code = (
        f"import sys, everfresh.streaming.producer; print([n for n in {HEAVY} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

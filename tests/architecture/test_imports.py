"""What may be loaded by what, seen from a fresh interpreter."""

import subprocess
import sys

import pytest

FRAMEWORKS = ("torch", "ray", "faust", "rocksdict")

LOADS = {
    "everfresh.contracts.settings": FRAMEWORKS,
    "everfresh.contracts.ports": (*FRAMEWORKS, "pydantic", "kafka", "numpy"),
    "everfresh.streaming.producer": (*FRAMEWORKS, "pydantic", "numpy", "aiokafka"),
    "everfresh.infra.cli": FRAMEWORKS,
}


@pytest.mark.process
@pytest.mark.parametrize("module", LOADS)
def test_loading_it_loads_no_framework(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(m for m in {LOADS[module]!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []

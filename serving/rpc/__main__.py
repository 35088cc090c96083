"""``python -m everfresh.serving.rpc [FOLDER]``: write the Python code of ``recommender.proto``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
PROTO = Path("everfresh", "serving", "rpc", "recommender.proto")


def generate(folder: Path) -> None:
    """Write the three modules below ``folder``, at their place in the tree.

    In a process of its own, as the compiler's authors advise. Needs ``grpcio-tools``.
    """
    out = [f"--{kind}={folder}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    words = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *out, str(PROTO)]
    subprocess.run(words, cwd=_ROOT, check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else _ROOT)

"""Lists the benchmarks, or runs one of them: ``python -m benchmarks [NAME [OPTIONS]]``.

A benchmark is a file of this folder, or a folder with a ``__main__.py``, whose docstring begins
with the question that it answers.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def questions() -> dict[str, str]:
    """The question of each benchmark, by its name. Nothing is imported."""
    scripts = {path.stem: path for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    scripts |= {path.parent.name: path for path in FOLDER.glob("*/__main__.py")}
    first_lines = {
        name: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for name, path in sorted(scripts.items())
    }
    return {name: line for name, line in first_lines.items() if line.endswith("?")}


def main(arguments: list[str]) -> None:
    """Without a name print the list; with a name run that benchmark in this process' place."""
    offered = questions()
    if arguments and arguments[0] in offered:
        name, *options = arguments
        os.execv(sys.executable, [sys.executable, "-m", f"benchmarks.{name}", *options])
    if arguments:
        print(f"there is no benchmark {arguments[0]!r}", file=sys.stderr)
    print("Benchmarks; run one with: make bench NAME=freshness ARGS='--quick'\n")
    for name, question in offered.items():
        print(f"  {name:<14}{question}")
    sys.exit(2 if arguments else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

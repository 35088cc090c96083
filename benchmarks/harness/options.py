"""The command line that all benchmarks have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def option_parser(name: str, about: str | None, *, repeats: int = 3) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark takes; a benchmark may add its own.

    ``name`` is the module below ``benchmarks``, ``about`` its docstring, which ``--help`` prints.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a short run; its figures are rough")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the flat JSON object there"
    )
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="the publisher's file, where events are read"
    )
    parser.add_argument(
        "--repeats", type=int, default=repeats, help="runs, whose medians are reported"
    )
    return parser


def parse_options(
    name: str, about: str | None, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """The options of a benchmark that has none of its own."""
    return option_parser(name, about).parse_args(argv)

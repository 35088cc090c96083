"""Every benchmark says what it asks and what is good, and has the same parts in the same order."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import FOLDER, questions

PACKAGE = Path(benchmarks.__file__).parent
STUDIES = [
    *(path.stem for path in (PACKAGE / "studies").glob("[!_]*.py")),
    *(path.parent.name for path in (PACKAGE / "studies").glob("*/__main__.py")),
]
ONE_FILE = ("measure", "show", "figures", "main")
PARTS = {"measure.py": ("measure",), "report.py": ("show", "figures"), "__main__.py": ("main",)}
"""File of a benchmark's folder -> functions that it offers, in this order."""
ELSEWHERE = {
    "benchmarks.peers.faust_worker",
    "benchmarks.peers.fetch",
    "benchmarks.peers.produce",
    "benchmarks.peers.quix_worker",
    "benchmarks.topk",
}
"""Modules that need libraries which are not part of every environment."""


def script(name: str) -> Path:
    """Where the benchmark's docstring stands."""
    place = PACKAGE / name.replace(".", "/")
    file = place.with_name(f"{place.name}.py")
    return file if file.exists() else place / "__main__.py"


def functions(path: Path) -> list[str]:
    """The file's top-level functions, in order."""
    tree = ast.parse(path.read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def modules() -> list[str]:
    """Every module of benchmarks that this environment can import."""
    files = sorted(PACKAGE.rglob("*.py"))
    dotted = (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files)
    names = {name.removesuffix(".__init__") for name in dotted}
    return sorted(name for name in names - ELSEWHERE)


@pytest.mark.parametrize("name", [*questions(), *(f"studies.{name}" for name in STUDIES)])
def test_its_docstring_has_the_command_and_what_is_good(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(script(name).read_text())) or ""
    assert f"\n    python -m benchmarks.{name} " in docstring
    assert "\nGood: " in docstring


@pytest.mark.parametrize("name", [*questions(), *(f"studies.{name}" for name in STUDIES)])
def test_its_parts_stand_in_the_same_order(name: str) -> None:
    path = script(name)
    wanted = PARTS if path.name == "__main__.py" else {path.name: ONE_FILE}
    for file, parts in wanted.items():
        offered = functions(path.with_name(file))
        assert [part for part in offered if part in parts] == list(parts), file


def test_make_bench_offers_every_folder_that_can_be_run_and_no_study() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/__main__.py")}
    assert folders <= questions().keys()
    assert not questions().keys() & {*STUDIES, "harness", "peers", "stage", "synthetic", "studies"}


@pytest.mark.process
def test_without_a_name_all_are_listed_and_an_unknown_name_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(question in listed for question in questions().values())
    refused = subprocess.run([*command, "harness"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "no benchmark 'harness'" in refused.stderr


def test_the_list_of_benchmarks_has_every_benchmark_and_study() -> None:
    text = (PACKAGE / "README.md").read_text()
    assert [name for name in [*questions(), *STUDIES] if f"`{name}`" not in text] == []


@pytest.mark.process
def test_every_module_can_be_imported() -> None:
    code = f"import importlib; [importlib.import_module(name) for name in {modules()!r}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""The house keeps its order: one import name, documented files, rooms of a size to look over."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(link.name for link in (ROOT / "everfresh").iterdir() if link.is_symlink())
LARGEST_ROOM = 16
"""Files in one folder, besides its ``__init__``."""

CODE = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
ALL_CODE = CODE + [
    file for name in ("benchmarks", "examples", "tests") for file in (ROOT / name).rglob("*.py")
]


def imported(file: Path) -> set[str]:
    """The first names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def test_the_rooms_of_the_package_are_the_folders_at_the_top() -> None:
    assert {"streaming", "trainer", "serving", "infra"} <= set(ROOMS)
    for room in ROOMS:
        assert (ROOT / "everfresh" / room).resolve() == ROOT / room


@pytest.mark.parametrize("file", ALL_CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_are_imported_by_the_one_name(file: Path) -> None:
    assert not imported(file) & set(ROOMS), "import everfresh.ROOM"


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_files_first_line_says_what_it_is_for(file: Path) -> None:
    if not file.name.endswith(("_pb2.py", "_pb2_grpc.py")):  # made by protoc
        assert (ast.get_docstring(ast.parse(file.read_text())) or "").strip()


@pytest.mark.parametrize("room", sorted({file.parent for file in CODE}), ids=str)
def test_no_room_is_a_drawer(room: Path) -> None:
    files = [file.name for file in room.glob("*.py") if file.name != "__init__.py"]
    assert len(files) <= LARGEST_ROOM, "make a sub-room"

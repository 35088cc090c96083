"""The house keeps its order: one import name, documented files, rooms of a size to look over."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = sorted(link.name for link in (ROOT / "everfresh").iterdir() if link.is_symlink())
EDGES = {
    "streaming/__main__.py": "wires the worker",
    "streaming/sources/__main__.py": "wires a bridge",
    "streaming/producer.py": "stamps an event that brings no time",
    "serving/wiring.py": "wires a replica",
    "trainer/run.py": "wires the trainer",
}
"""Files of the parts that may read the wall clock; adapters and infra may, too (law 10)."""

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


def reads_the_wall_clock(file: Path) -> bool:
    """Whether it names ``time.time``, ``time.time_ns``, ``datetime.now`` or one of their kin."""
    clocks = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
    nodes = ast.walk(ast.parse(file.read_text()))
    return any(ast.unparse(node) in clocks for node in nodes if isinstance(node, ast.Attribute))


def test_law_10_time_is_given_the_wall_clock_is_read_at_the_edges_alone() -> None:
    parts = [file for file in CODE if file.relative_to(ROOT).parts[0] not in ("adapters", "infra")]
    readers = {str(file.relative_to(ROOT)) for file in parts if reads_the_wall_clock(file)}
    assert readers == set(EDGES)


def prints_around_the_terminal(file: Path) -> set[str]:
    """Calls that would show a text from outside as Rich's markup, or unescaped."""
    around = {"Console", "Text", "TextColumn", "Status", "Spinner", "from_markup", "from_ansi"}
    streams = {"sys.stdout.write", "sys.stderr.write", "typer.echo", "typer.secho"}
    calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if type(node) is ast.Call]
    named = {ast.unparse(call) for call in calls}
    return {name for name in named if around & set(name.split(".")) or name in streams}


def test_commands_print_by_the_terminal_alone() -> None:
    folder = ROOT / "infra" / "cli"
    wayward = {file: prints_around_the_terminal(file) for file in sorted(folder.rglob("*.py"))}
    places = {str(file.relative_to(folder)) for file, names in wayward.items() if names}
    assert places == {"streams.py", "terminal.py"}


def test_the_rooms_of_the_package_are_the_folders_at_the_top() -> None:
    assert {"streaming", "trainer", "serving", "infra"} <= set(ROOMS)
    for room in ROOMS:
        assert (ROOT / "everfresh" / room).resolve() == ROOT / room


def test_rooms_are_imported_by_the_one_name() -> None:
    bare = {file: imported(file) & set(ROOMS) for file in ALL_CODE}
    assert not {file: names for file, names in bare.items() if names}


def test_a_files_first_line_says_what_it_is_for() -> None:
    made_by_protoc = ("_pb2.py", "_pb2_grpc.py")
    own = [file for file in CODE if not file.name.endswith(made_by_protoc)]
    assert [file for file in own if not ast.get_docstring(ast.parse(file.read_text()))] == []


def test_no_room_is_a_drawer() -> None:
    files = Counter(file.parent for file in CODE if file.name != "__init__.py")
    assert [room for room, number in files.items() if number > LARGEST_ROOM] == []

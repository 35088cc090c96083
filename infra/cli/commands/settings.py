"""``everfresh settings``: the whole tree, with values, where they come from, and the sentences."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from everfresh.contracts.settings import DEFAULT_FILE, FILE_VARIABLE, Settings


class Row(msgspec.Struct, frozen=True):
    """One setting: dotted name, value, ``default`` or where it was changed, and its sentence."""

    name: str
    value: Any
    source: str
    sentence: str


def run_settings(settings: Settings) -> None:
    """Print every setting; changed ones stand out, with their source."""
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    for overflow in ("fold", "fold", "fold"):
        table.add_column(overflow=overflow)
    group = ""
    for row in rows(settings, dict(os.environ), _file()):
        first, _, leaf = row.name.rpartition(".")
        if first != group:
            table.add_row()
            table.add_row(Text(first, "bold"))
            group = first
        changed = row.source != "default"
        value = Text(_shown(row.value), "bold green" if changed else "cyan")
        sentence = Text(row.sentence, "dim")
        if changed:
            sentence.append(f" (from {row.source})", "green")
        table.add_row(Text(f"  {leaf}" if first else leaf), value, sentence)
    console.print(table)
    console.print(
        f"\nChange them in {DEFAULT_FILE} (or the file that {FILE_VARIABLE} or --config names),\n"
        "  [windows]\n  seconds = 5\nor in the environment, as EVERFRESH_WINDOWS__SECONDS=5.",
        markup=False,
    )


def rows(settings: Settings, environment: dict[str, str], file: dict[str, Any]) -> list[Row]:
    """All settings, the single ones first, then group by group in the tree's order."""
    defaults = Settings.model_construct()
    return sorted(
        (
            Row(name, value, _source(name, value != default, environment, file), sentence)
            for name, value, default, sentence in _leaves(settings, defaults, "")
        ),
        key=lambda row: "." in row.name,
    )


def _leaves(
    tree: BaseModel, defaults: BaseModel, prefix: str
) -> Iterator[tuple[str, Any, Any, str]]:
    for name, field in type(tree).model_fields.items():
        value, default = getattr(tree, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, default, field.description or ""


def _source(name: str, changed: bool, environment: dict[str, str], file: dict[str, Any]) -> str:
    variable = "EVERFRESH_" + name.upper().replace(".", "__")
    if variable in environment:
        return variable
    group, _, leaf = name.rpartition(".")
    if leaf in (file.get(group, {}) if group else file):
        return os.environ.get(FILE_VARIABLE) or DEFAULT_FILE
    return "command line" if changed else "default"


def _file() -> dict[str, Any]:
    path = Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    return tomllib.loads(path.read_text()) if path.is_file() else {}


def _shown(value: object) -> str:
    if value == "":
        return "(empty)"
    return json.dumps(value) if isinstance(value, (list, bool)) else str(value)

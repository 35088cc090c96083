"""``everfresh settings``: every setting with its value, where it comes from, and what it does."""

from __future__ import annotations

import json
import os
import textwrap
import tomllib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel
from rich.text import Text

from everfresh.contracts.settings import DEFAULT_FILE, FILE_VARIABLE, Settings
from everfresh.infra.cli.terminal import Terminal, lines, styled

_INDENT = "    "
_WIDEST = 100
"""Longer lines are hard to read."""
_HOW_TO_CHANGE = f"""
To change settings, write them as they stand above into {DEFAULT_FILE},
or into the file that --config or {FILE_VARIABLE} names:

  [windows]
  seconds = 5

Or set a variable of the environment: EVERFRESH_WINDOWS__SECONDS=5.
Parts that are running keep their settings until they are started again."""


class Row(msgspec.Struct, frozen=True):
    """One setting. ``source`` is ``default``, or names where the value was changed."""

    name: str
    value: Any
    default: Any
    source: str
    sentence: str


def run_settings(settings: Settings) -> None:
    """Print every setting as it would stand in the file; changed ones stand out, with their source.

    The sentences stand below the values, so that they are as wide as the terminal allows.
    """
    console = Terminal()
    width = min(console.width, _WIDEST)
    group = ""
    for row in rows(settings, dict(os.environ), _file()):
        table, _, leaf = row.name.rpartition(".")
        if table != group:
            group = table
            about = f"[{table}]  {' '.join((attrgetter(table)(settings).__doc__ or '').split())}"
            text = lines(*map(styled, ["", *textwrap.wrap(about, width, break_on_hyphens=False)]))
            text.stylize("bold", 1, len(table) + 3)
            _print(console, text)
        changed = row.source != "default"
        line = styled(f"{leaf} = ", (_as_toml(row.value), "bold green" if changed else "cyan"))
        if changed:
            line += styled((f"  from {row.source}; default {_as_toml(row.default)}", "green"))
        _print(console, line)
        for part in textwrap.wrap(row.sentence, width - len(_INDENT), break_on_hyphens=False):
            _print(console, styled((_INDENT + part, "dim")))
    _print(console, lines(*map(styled, _HOW_TO_CHANGE.split("\n"))))


def _print(console: Terminal, text: Text) -> None:
    console.print(text, soft_wrap=True)


def rows(settings: Settings, environment: dict[str, str], file: dict[str, Any]) -> list[Row]:
    """All settings, the single ones first, then group by group in the tree's order."""
    defaults = Settings.model_construct()
    return sorted(
        (
            Row(name, value, default, _source(name, value != default, environment, file), sentence)
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
    for table in filter(None, group.split(".")):
        file = file.get(table, {})
    if leaf in file:
        return os.environ.get(FILE_VARIABLE) or DEFAULT_FILE
    return "command line" if changed else "default"


def _file() -> dict[str, Any]:
    path = Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    return tomllib.loads(path.read_text()) if path.is_file() else {}


def _as_toml(value: object) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, dict):  # sources, of which each is a table
        return json.dumps(
            {name: table.model_dump(exclude_defaults=True) for name, table in value.items()}
        )
    if isinstance(value, (list, bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value))  # of a secret that is asterisks

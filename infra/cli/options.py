# ruff: noqa: PLC0415  (settings are loaded when a command runs, so help is instant)
"""Options that commands share, and the settings as the command line changes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="FOLDER",
        help="Folder in which the run keeps everything. Default: .everfresh here.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file. Default: everfresh.toml here, if there is one.",
    ),
]
Servers = Annotated[
    str,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT",
        help="Kafka brokers to use, with commas between several. Default: those of the run.",
    ),
]


def given(**options: str) -> dict[str, Any]:
    """Those that are not empty."""
    return {name: value for name, value in options.items() if value}


def load(home: Path | None, config: Path | None, **groups: dict[str, Any]) -> Any:
    """The settings with what the command line says on top; ``SettingsError`` where wrong."""
    from everfresh.contracts.settings import FILE_VARIABLE, load_settings

    if config is not None:
        os.environ[FILE_VARIABLE] = str(config)
    overrides: dict[str, Any] = {name: group for name, group in groups.items() if group}
    if home is not None:
        overrides["home"] = home
    return load_settings(overrides)

# ruff: noqa: PLC0415  (settings are loaded when a command runs, so help is instant)
"""Options that commands share, and the settings as the command line changes them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer

_DRAWN = (".png", ".svg", ".pdf")

Home = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="FOLDER",
        help="Folder in which the run keeps everything. Default: .everfresh in this folder.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file. Default: everfresh.toml in this folder, if there.",
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


ServersToJoin = Annotated[
    str,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT",
        help="Kafka brokers to join, with commas between several. Default: start one here.",
    ),
]


User = Annotated[
    str,
    typer.Argument(
        metavar="USER", help="User id. Ids keep their type: 42 is a number, '\"42\"' is text."
    ),
]


OfTrack = Annotated[
    str,
    typer.Option(
        "--track",
        metavar="NAME",
        help="The track that is meant. Default: the default track; `everfresh tracks list` lists "
        "all.",
    ),
]


MOST = 1_000_000_000
"""Largest number that an option takes for a count."""


def finite(value: float) -> float:
    """The value of an option; a usage error for ``nan`` and ``inf``, which pass as numbers."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number that can be used here.")
    return value


FirstEvents = Annotated[
    int,
    typer.Option(
        "--limit",
        min=0,
        max=MOST,
        metavar="N",
        help="Read only the first N events; 0 reads all.",
    ),
]


def _drawn(path: Path | None) -> Path | None:
    """Refuses at once what could not be drawn after hours of work."""
    if path is not None and path.suffix.lower() not in _DRAWN:
        raise typer.BadParameter(f"it is drawn as {', '.join(_DRAWN)}; found {str(path)!r}")
    return path


FiguresFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all figures to this JSON file."),
]
PlotFile = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        callback=_drawn,
        help="Draw them into this file: .png, .svg or .pdf.",
    ),
]


def events_per_second(zero: str) -> Any:
    """An option for a speed; ``zero`` is what 0 does."""
    return typer.Option(min=0.0, callback=finite, metavar="N", help=f"Events per second; 0 {zero}.")


def given(**options: str) -> dict[str, Any]:
    """Those that are not empty."""
    return {name: value for name, value in options.items() if value}


def load(home: str | None, config: str | None, **groups: dict[str, Any]) -> Any:
    """The settings with what the command line says on top; ``SettingsError`` where wrong."""
    from everfresh.contracts.errors import SettingsError
    from everfresh.contracts.settings import FILE_VARIABLE, load_settings

    if config is not None:
        if not config:  # an empty variable says that there is no file
            raise SettingsError("--config is empty; name a settings file, or leave --config out")
        os.environ[FILE_VARIABLE] = config
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SettingsError(
            "the folder that you are in was deleted; change into one that exists"
        ) from None
    overrides: dict[str, Any] = {name: group for name, group in groups.items() if group}
    if home is not None:
        overrides["home"] = home
    return load_settings(overrides)

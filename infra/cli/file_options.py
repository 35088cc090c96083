# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
"""The options that say how a file of events is read: the same for every command that reads one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everfresh.infra.cli.options import finite

if TYPE_CHECKING:
    from everfresh.adapters.files.tables.mapping import Reading
    from everfresh.contracts.settings import Settings


def named_file(text: str) -> Path:
    """The path, which must not be empty: that would be the folder of the call."""
    if not text.strip():
        raise typer.BadParameter("it is empty, which names no file ('.' is this folder)")
    return Path(text)


EventFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", parser=named_file, help="File of events, or a folder of such files."
    ),
]


class Format(StrEnum):
    """File formats that are read."""

    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    ML_100K = "ml-100k"
    ML_1M = "ml-1m"
    ADER = "ader"


class TimeUnit(StrEnum):
    """What the numbers of a time column count, or that it is text."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO = "iso"


class Kind(StrEnum):
    """What ids are."""

    INTEGER = "integer"
    TEXT = "text"
    MIXED = "mixed"


def _text(name: str, metavar: str, text: str) -> Any:
    return Annotated[str, typer.Option(name, metavar=metavar, help=text)], ""


def _choice(name: str, of: type[StrEnum], metavar: str, text: str) -> Any:
    return Annotated[of | None, typer.Option(name, metavar=metavar, help=text)], None


def _flag(name: str, text: str) -> Any:
    return Annotated[bool, typer.Option(name, help=text)], False


_COLUMN = "COLUMN"
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "file_format": _choice(
        "--format",
        Format,
        "FORMAT",
        "Format of the file: csv, tsv, parquet, jsonl (JSON lines), ml-100k and ml-1m (MovieLens) "
        "or ader (session files of the ADER paper). Default: what its first bytes tell.",
    ),
    "mapping": (
        Annotated[
            Path | None,
            typer.Option(
                "--mapping",
                metavar="FILE",
                help="TOML file that says which column is what: the names of the options below, "
                "with _ for -. Options count more than the file.",
            ),
        ],
        None,
    ),
    "user": _text("--user", _COLUMN, "Column of the user id. Default: guessed from its title."),
    "item": _text("--item", _COLUMN, "Column of the item id. Default: guessed from its title."),
    "time": _text("--time", _COLUMN, "Column of the time. Default: guessed from its title."),
    "time_unit": _choice(
        "--time-unit",
        TimeUnit,
        "UNIT",
        "s, ms, us or ns since 1970, or iso for ISO 8601. Default: guessed, where only one fits.",
    ),
    "time_zone": _text(
        "--time-zone",
        "ZONE",
        "Zone of times that name none: UTC, Europe/Berlin, +02:00. Default: they are refused.",
    ),
    "type": _text("--type", "TYPE", "Type of all events, such as view."),
    "type_column": _text("--type-column", _COLUMN, "Column of the event type, instead of --type."),
    "rename": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--rename",
                metavar="OLD=NEW",
                help="A type of the file, and its name here: addtocart=like. As often as needed.",
            ),
        ],
        None,
    ),
    "value": _text("--value", _COLUMN, "Column of a magnitude, such as a rating."),
    "request_id": _text("--request-id", _COLUMN, "Column of the answer that led to the event."),
    "id": _text("--id", _COLUMN, "Column of the event's own id. Default: made from the event."),
    "attributes": _text("--attributes", "COLUMNS", "Columns to keep, with commas between them."),
    "user_kind": _choice(
        "--user-kind",
        Kind,
        "KIND",
        "integer or text. 7 and '7' are two users: take what your application sends. mixed keeps "
        "what each row of JSON lines has. Default: integer where all of the first rows are.",
    ),
    "item_kind": _choice("--item-kind", Kind, "KIND", "The same for item ids."),
    "delimiter": _text("--delimiter", "SIGN", "What stands between cells of CSV: ';' or tab."),
    "decimal": _text("--decimal", "SIGN", "What stands before fractions of numbers: '.' or ','."),
    "no_header": _flag("--no-header", "The CSV has no header; columns are numbers: --user 1."),
    "no_quotes": _flag("--no-quotes", "Quotes are signs like others in this CSV."),
    "encoding": _text("--encoding", "NAME", "Encoding of the text. Default: UTF-8, or its mark's."),
    "tolerate": (
        Annotated[
            float,
            typer.Option(
                "--tolerate",
                min=0.0,
                max=1.0,
                callback=finite,
                metavar="SHARE",
                help="Share of rows (0 to 1) that may be wrong and are left out. Default: none.",
            ),
        ],
        0.0,
    ),
    "rejects": (
        Annotated[
            Path | None,
            typer.Option(
                "--rejects",
                metavar="FILE",
                help="Where to list wrong rows, with line and reason. Default: in the home.",
            ),
        ],
        None,
    ),
}
_FIELDS = ["user", "item", "time", "type", "type_column", "value", "request_id", "id"]
_FIELDS += ["time_unit", "time_zone", "user_kind", "item_kind", "delimiter", "encoding", "decimal"]

AskedReading = Callable[["Settings", Path], "Reading"]
"""The reading of a file that was asked for, once the settings are known."""


def with_file_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options in place of its parameter ``asked``, an ``AskedReading``."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        words = {name: given.pop(name) for name in _OPTIONS}
        command(**given, asked=functools.partial(_reading, words))

    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for name, parameter in signature.parameters.items():
        named = _OPTIONS.items() if name == "asked" else ()
        parameters += [
            inspect.Parameter(option, parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for option, (kind, default) in named
        ]
        if name != "asked":
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def name_in_home(file: Path) -> str:
    """What the home calls what it keeps of the file: its name, cut and without odd bytes."""
    return file.absolute().name.encode(errors="replace").decode()[:60]


def _reading(words: dict[str, Any], settings: Settings, file: Path) -> Reading:
    from everfresh.adapters.files.tables.mapping import Reading, mapping_of
    from everfresh.contracts.errors import SettingsError

    options: dict[str, object] = {name: str(words[name]) for name in _FIELDS if words[name]}
    if words["rename"]:
        pairs = [pair.partition("=") for pair in words["rename"]]
        for old, equals, new in pairs:
            if not (old and equals and new):
                raise SettingsError(
                    f"--rename is OLD=NEW, such as addtocart=like, found {old + equals + new!r}"
                )
        options["types"] = {old: new for old, _, new in pairs}
    if words["attributes"]:
        options["attributes"] = words["attributes"].split(",")
    if words["no_header"]:
        options["header"] = False
    if words["no_quotes"]:
        options["quotes"] = False
    home = settings.home.resolve()
    rejects = words["rejects"] or home / "rejects" / f"{name_in_home(file)}.jsonl"
    return Reading(
        form=words["file_format"] or "",
        mapping=mapping_of(words["mapping"], options),
        tolerate=words["tolerate"],
        rejects=str(rejects),
        scratch=str(home / "scratch"),
    )

# ruff: noqa: PLC0415  (a command imports what it needs when it runs, so help is instant)
# ruff: noqa: PLR0913, PLR0917  (a command's arguments are its options)

"""The commands of ``everfresh items`` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from everfresh.contracts.errors import SettingsError
from everfresh.infra.cli.file_options import Kind, TimeUnit, named_file
from everfresh.infra.cli.options import Config, Home, Servers, finite, given, load

items = typer.Typer(
    help="Keep the catalogue: what items are, and which may be shown.\n\n"
    "Replicas follow it. A request may filter by what an item is; an item that is not available, "
    "has expired or was removed is in no answer. docs/items.md begins at the beginning.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Ids = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Item ids. 42 is a number, '\"42\"' is text."),
]


def _column(name: str, text: str) -> Any:
    return typer.Option(name, metavar="COLUMN", help=text)


@items.command("load")
def load_items(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=named_file,
            help="Catalogue in CSV, JSON lines or Parquet, or a folder of them.",
        ),
    ],
    item: Annotated[
        str, _column("--id", "Column of the item id. Default: guessed from its title.")
    ] = "",
    id_kind: Annotated[
        Kind | None,
        typer.Option(
            "--id-kind",
            metavar="KIND",
            help="integer or text. 7 and '7' are two items: take what your events have. Default: "
            "integer where all of the first rows are.",
        ),
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            "--attributes",
            metavar="COLUMNS",
            help="Columns to keep, with commas between them. Default: all.",
        ),
    ] = "",
    text: Annotated[
        str,
        typer.Option(
            "--text",
            metavar="COLUMNS",
            help="Columns that are text though they look like numbers, such as codes.",
        ),
    ] = "",
    lists: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="COLUMN=SIGN",
            help="A column with several values in a cell, and what stands between them: "
            "'genres=|'. As often as needed.",
        ),
    ] = None,
    published: Annotated[
        str, _column("--published", "Column of the time from which an item is shown.")
    ] = "",
    expires: Annotated[
        str, _column("--expires", "Column of the time until which an item is shown.")
    ] = "",
    available: Annotated[
        str, _column("--available", "Column that says true or false: may the item be shown?")
    ] = "",
    embedding: Annotated[
        str, _column("--embedding", "Column of a vector of your own, as a list of numbers.")
    ] = "",
    embed: Annotated[
        str,
        typer.Option(
            "--embed",
            metavar="COLUMNS",
            help="Columns of text to make such vectors of, such as title or 'title,description'. "
            "Needs the extra `embed` (32 MB); takes some 1 ms of a processor for a title.",
        ),
    ] = "",
    time_unit: Annotated[
        TimeUnit | None,
        typer.Option(
            "--time-unit",
            metavar="UNIT",
            help="s, ms, us or ns since 1970, or iso for ISO 8601. Default: guessed, where only "
            "one fits.",
        ),
    ] = None,
    time_zone: Annotated[
        str,
        typer.Option(
            "--time-zone",
            metavar="ZONE",
            help="Zone of times that name none: UTC, Europe/Berlin, +02:00.",
        ),
    ] = "",
    delimiter: Annotated[
        str,
        typer.Option("--delimiter", metavar="SIGN", help="What stands between cells: ';' or tab."),
    ] = "",
    encoding: Annotated[
        str,
        typer.Option("--encoding", metavar="NAME", help="Encoding of the text. Default: UTF-8."),
    ] = "",
    tolerate: Annotated[
        float,
        typer.Option(
            "--tolerate",
            min=0.0,
            max=1.0,
            callback=finite,
            metavar="SHARE",
            help="Share of rows (0 to 1) that may be wrong and are left out. Default: none.",
        ),
    ] = 0.0,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            metavar="FILE",
            help="Where to list wrong rows, with line and reason. Default: in the home.",
        ),
    ] = None,
    remove_others: Annotated[
        bool,
        typer.Option(
            "--remove-others", help="Also remove all items of the catalogue that FILE has not."
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be read and what is wrong.")
    ] = False,
    servers: Servers = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Load a catalogue from a file.

    Writes only the items that are new or have changed, so it may be run again and again. Where a
    row is wrong, nothing is written, unless you tolerate it.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.items.load import LoadOptions, columns_of, run_load

    columns = columns_of(
        lists or [],
        {
            "id": item,
            "id_kind": id_kind,
            "attributes": attributes,
            "text": text,
            "published": published,
            "expires": expires,
            "available": available,
            "embedding": embedding,
            "time_unit": time_unit,
            "time_zone": time_zone,
        },
    )
    dialect = given(delimiter=delimiter, encoding=encoding)
    if embed and embedding:
        raise SettingsError("--embed makes vectors and --embedding takes them: name one of both")
    texts = [column.strip() for column in embed.split(",") if column.strip()]
    options = LoadOptions(tolerate, rejects, remove_others, check, texts)
    run_load(settings, file, dialect, columns, options)


@items.command()
def get(ids: Ids, servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """Print what the catalogue says of items, one JSON object a line.

    Reads the whole catalogue, some 30,000 records a second.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.items.show import run_get

    run_get(settings, ids)


@items.command()
def remove(ids: Ids, servers: Servers = "", home: Home = None, config: Config = None) -> None:
    """Take items out of every answer.

    Also items that the catalogue has never heard of, but the model has. Load an item again to
    bring it back.
    """
    settings = load(home, config, kafka=given(bootstrap_servers=servers))
    from everfresh.infra.cli.commands.items.load import run_remove

    run_remove(settings, ids)

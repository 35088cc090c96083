"""``everfresh recommend``: one user's recommendations from a loop that is up, over HTTP."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from everfresh.contracts.event import parse_id
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.http_client import ask, client, require_serving_url
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.tables import new_table
from everfresh.infra.cli.views.titles import TITLES, titles_of

_TIMEOUT_S = 10.0


def run_recommend(
    settings: Settings, user: str, k: int, *, exclude_seen: bool, why: bool = False
) -> None:
    """Ask and print, with ``why``; ``RunError`` where there is no answer, with what to do."""
    url = require_serving_url(settings.home.resolve())
    with client(url, _TIMEOUT_S) as connection:
        answer = ask(connection, parse_id(user), k, exclude_seen=exclude_seen, attributes=TITLES)
    console = Terminal()
    console.print(f"Recommendations for user {answer['user_id']}, best first")
    told, note = None, ""
    if why:
        # It loads the network, which nothing else here needs.
        from everfresh.infra.cli.commands.why import reasons  # noqa: PLC0415

        told, note = reasons(settings, answer)
    console.print(_table(answer, told))
    if note:
        console.print(note)
    console.print(_origin(answer))


def _table(answer: dict[str, Any], why: list[str] | None) -> Table:
    """Rank, item and score, with the title where the catalogue has any, and what moved it most."""
    titles = titles_of(answer)
    titled = ["title"] if any(titles) else []
    moved = [] if why is None else ["moved most by"]
    table = new_table("#", "item", *titled, "score", *moved, right=("#", "score"))
    rows = zip(answer["items"], titles, answer["scores"], strict=True)
    for rank, (item, title, score) in enumerate(rows, 1):
        shown = "pinned" if score is None else f"{score:.4f}"
        reason = [] if why is None else [why[rank - 1]]
        table.add_row(str(rank), str(item), *([title] if titled else []), shown, *reason)
    return table


def _origin(answer: dict[str, Any]) -> str:
    """What the answer was made from, in a line."""
    offset = answer.get("state_offset")
    if offset is None:
        known = "no events of this user are known"
    else:
        known = (
            f"it knows the user's events up to offset {offset} of partition "
            f"{answer['state_partition']}"
        )
    if answer.get("shortfall"):
        known = f"{known}; {answer['shortfall']}"
    source = answer["source"] + (f" ({answer['note']})" if answer.get("note") else "")
    return f"source {source}, weights version {answer['version']}; {known}"

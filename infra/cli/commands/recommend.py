"""``everfresh recommend``: one user's recommendations from the running loop, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from everfresh.adapters.machine.endpoint_record import endpoint_url
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import UserId, parse_id
from everfresh.contracts.settings import Settings

_TIMEOUT_S = 10.0


def run_recommend(settings: Settings, user: str, k: int, *, exclude_seen: bool) -> None:
    """Ask and print; ``RunError`` where there is no answer, with what to do."""
    url = require_door(settings.home.resolve())
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as client:
        answer = ask(client, parse_id(user), k, exclude_seen=exclude_seen)
    console = Console(highlight=False)
    console.print(answer_table(answer))
    console.print(answer_line(answer))


def require_door(home: Path) -> str:
    """Where serving answers; ``RunError`` where nothing is up."""
    url = endpoint_url(home)
    if url is None:
        raise RunError(f"no recommender is up in {home}; start `everfresh up`, or give its --home")
    return url


def ask(client: httpx.Client, user: UserId, k: int, *, exclude_seen: bool) -> dict[str, Any]:
    """One ``POST /v1/recommend``; ``RunError`` with the server's words unless it answers 200."""
    body = {"user_id": user, "k": k, "exclude_seen": exclude_seen}
    try:
        response = client.post("/v1/recommend", json=body)
    except httpx.HTTPError as error:
        raise RunError(
            f"the recommender at {client.base_url} does not answer ({error}); see "
            "`everfresh status`"
        ) from None
    if response.status_code != 200:
        raise RunError(f"the recommender answered {response.status_code}: {_problem(response)}")
    found: dict[str, Any] = response.json()
    return found


def answer_table(answer: dict[str, Any]) -> Table:
    """Rank, item and score."""
    table = Table(title=f"user {answer['user_id']}", title_justify="left")
    table.add_column("#", justify="right", style="dim")
    table.add_column("item")
    table.add_column("score", justify="right")
    for rank, (item, score) in enumerate(zip(answer["items"], answer["scores"], strict=True), 1):
        table.add_row(str(rank), str(item), f"{score:.4f}")
    return table


def answer_line(answer: dict[str, Any]) -> str:
    """Where the answer comes from, in a line."""
    offset = answer.get("state_offset")
    if offset is None:
        known = "no events of this user are known"
    else:
        known = f"the user's events up to offset {offset} of partition {answer['state_partition']}"
    source = answer["source"] + (f" ({answer['note']})" if answer.get("note") else "")
    return f"source {source}, weights version {answer['version']}; {known}"


def _problem(response: httpx.Response) -> str:
    """The text of an RFC 9457 problem document, or the body's beginning."""
    try:
        problem = response.json()
    except ValueError:
        return response.text[:200]
    if not isinstance(problem, dict):
        return str(problem)[:200]
    return str(problem.get("detail") or problem.get("title") or problem)[:400]

"""One user's recommendations before and after a new event: how soon answers know of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import RenderableType

from everfresh.contracts.errors import RunError
from everfresh.infra.cli.demo.streams import Stream
from everfresh.infra.cli.http_client import ask, client
from everfresh.infra.cli.terminal import styled
from everfresh.infra.cli.views.tables import described, new_table
from everfresh.infra.cli.views.titles import TITLES, named

_WAIT_S = 60.0
_K = 8


class Change(msgspec.Struct, frozen=True):
    """Two answers to the same request, the item of the event between them, and the seconds from
    the moment the event was in the log until an answer knew of it."""

    item: int | str
    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float


def observe_change(
    url: str, user: int | str, send: Callable[[int | str], None], tick: Callable[[], None]
) -> Change:
    """Ask, ``send`` an event of the user on the first item, ask until the answer knows of it.

    ``RunError`` where no answer knows of it in time. ``tick`` is called while waiting.
    """
    with client(url) as connection:
        before = ask(connection, user, _K, exclude_seen=True, attributes=TITLES)
        item = before["items"][0]
        send(item)
        began = time.monotonic()
        while True:
            after = ask(connection, user, _K, exclude_seen=True, attributes=TITLES)
            if after["state_offset"] != before["state_offset"]:
                return Change(item, before, after, time.monotonic() - began)
            if time.monotonic() - began > _WAIT_S:
                raise RunError(
                    f"no answer knew of a new event of user {user} within {_WAIT_S:.0f} s; look "
                    "for errors of worker and serving in the log files"
                )
            tick()
            time.sleep(0.01)


def one_event_file(folder: Path, stream: Stream, user: int | str, item: int | str) -> Path:
    """A file that ``streaming.replay`` sends: one event as the stream has them, now."""
    event = {
        "user_id": user,
        "item_id": item,
        "type": stream.action,
        "time": time.time_ns() // 1_000_000,
        "value": stream.value,
    }
    path = folder / "one-event.jsonl"
    path.write_bytes(msgspec.json.encode(event) + b"\n")
    return path


def change_view(change: Change, action: str) -> RenderableType:
    """Both lists side by side, and what to see in them; the event is an ``action``."""
    old, new = change.before, change.after
    heads = [
        f"{when} (offset {answer['state_offset']}, version {answer['version']})"
        for when, answer in (("before", old), ("after", new))
    ]
    table = new_table("#", *heads, right=("#",))
    pairs = list(zip(old["items"], new["items"], strict=False))
    names = zip(named(old), named(new), strict=False)
    for rank, ((before, after), (left, right)) in enumerate(zip(pairs, names, strict=True), 1):
        gone = "strike" if before == change.item else ""
        fresh = "bold green" if after not in old["items"] else ""
        table.add_row(str(rank), styled((left, gone)), styled((right, fresh)))
    moved = sum(before != after for before, after in pairs)
    words = (
        f"Answers knew of the event {change.seconds:.2f} s after it was in the log (less is "
        f"better). Item {change.item} (struck out) now belongs to the user's history and is no "
        f"longer recommended. {moved} of {len(pairs)} places have another item; those in green "
        "were not in the list before."
    )
    title = f"User {old['user_id']} before and after a {action} of item {change.item}"
    return described(title, table, words)

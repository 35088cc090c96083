"""``everfresh state``: what the worker knows of one user, and how new that is."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import UserId, parse_id
from everfresh.contracts.sequence import Interaction, UserState
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.commands.dlq_list import utc
from everfresh.infra.cli.commands.replay import joined
from everfresh.infra.run.run_record import is_supervised


class Known(msgspec.Struct, frozen=True):
    """One user's state, and where its partition stands.

    ``applied`` is the offset after the last record in the partition's state, ``end`` that of the
    log, ``None`` where no broker was asked.
    """

    state: UserState
    applied: int
    end: int | None

    @property
    def lag(self) -> int | None:
        """Records of the partition that the state does not contain yet, at most: what ends a
        transaction counts, which is no record."""
        return None if self.end is None else max(0, self.end - self.applied)


def run_state(settings: Settings, user: str, last: int, *, as_json: bool) -> None:
    """Print it; ``RunError`` where there is no state at all, or none of this user."""
    running = is_supervised(settings.home.resolve()) or bool(settings.kafka.bootstrap_servers)
    if running:
        settings = joined(settings)
    known = _look_up(settings, parse_id(user), running=running)
    history = known.state.history[-last:] if last else known.state.history
    if as_json:
        sys.stdout.write(msgspec.json.encode(_described(known, history)).decode() + "\n")
        return
    console = Console(highlight=False)
    console.print(_table(history))
    for line in _lines(known, len(history)):
        console.print(line, markup=False)


def _look_up(settings: Settings, user: UserId, *, running: bool) -> Known:
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    reader = RocksHistoryReader(settings.state_dir, topic, settings.state.history_length)
    try:
        if not reader.partitions():
            raise RunError(
                f"there is no state of {topic} in {settings.state_dir}; start `everfresh up`, give "
                "its --home, or wait until its worker has opened its partitions"
            )
        state = reader.read(user)
        if state is None:
            raise RunError(_unknown(user, len(reader.partitions())))
        meta = reader.partition_meta(state.partition)
        assert meta is not None, "a partition that holds users describes itself"
    finally:
        reader.close()
    end = None
    if running:
        end = end_offsets(settings.kafka.bootstrap_servers, topic).get(state.partition)
    return Known(state, meta.applied, end)


def _unknown(user: UserId, partitions: int) -> str:
    other = f"'\"{user}\"' is a text" if isinstance(user, int) else "a bare number is a number"
    return (
        f"user {user!r} has no accepted events in the {partitions} partitions here; ids keep their "
        f"type ({other}), and events that were not accepted are in `everfresh dlq list`"
    )


def _table(history: list[Interaction]) -> Table:
    table = Table()
    table.add_column("item")
    table.add_column("action")
    table.add_column("time")
    table.add_column("value", justify="right")
    for one in history:
        value = "" if one.value is None else f"{one.value:g}"
        table.add_row(Text(repr(one.item)), one.action, utc(one.time), value)
    return table


def _lines(known: Known, shown: int) -> list[str]:
    state = known.state
    place = f"partition {state.partition}"
    lines = [
        f"user {state.user!r}: {state.accepted:,} events accepted, the newest {shown:,} shown, "
        f"oldest first; the last one at offset {state.offset} of {place}"
    ]
    if known.end is None:
        lines.append(
            f"nothing is up here: this is what the worker left, {place} up to offset "
            f"{known.applied}"
        )
    elif known.lag:
        lines.append(
            f"the state of {place} reaches {known.applied} of {known.end}: at most {known.lag:,} "
            "records are still to come, which may be this user's"
        )
    else:
        lines.append(f"the state of {place} reaches the log's end, {known.end}: nothing is newer")
    return lines


def _described(known: Known, history: list[Interaction]) -> dict[str, Any]:
    state = known.state
    return {
        "user": state.user,
        "partition": state.partition,
        "offset": state.offset,
        "accepted": state.accepted,
        "applied": known.applied,
        "end": known.end,
        "lag": known.lag,
        "history": [
            {"item": one.item, "action": one.action, "time": one.time, "value": one.value}
            for one in history
        ],
    }

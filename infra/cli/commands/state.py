"""``everfresh state``: the events known of one user, and whether any are missing."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.table import Table

from everfresh.adapters.kafka.topics import end_offsets
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import UserId, parse_id
from everfresh.contracts.sequence import Interaction, UserState
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.tables import new_table
from everfresh.infra.cli.views.text import utc_time
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
        """At most how many records of the partition the state does not contain yet.

        Kafka's marks at the end of transactions take offsets too, and count here.
        """
        return None if self.end is None else max(0, self.end - self.applied)


def run_state(settings: Settings, user: str, last: int, *, as_json: bool) -> None:
    """Print the user's state; ``RunError`` where there is none, or no state at all."""
    running = is_supervised(settings.home.resolve()) or bool(settings.kafka.bootstrap_servers)
    if running:
        settings = with_brokers(settings)
    known = _look_up(settings, parse_id(user), running=running)
    history = known.state.history[-last:] if last else known.state.history
    if as_json:
        write_json(_described(known, history))
        return
    console = Terminal()
    console.print(_table(history))
    for line in _lines(known, len(history)):
        console.print(line)


def _look_up(settings: Settings, user: UserId, *, running: bool) -> Known:
    topic = topic_name(settings.kafka.topic_prefix, EVENTS)
    reader = RocksHistoryReader(settings.state_dir, topic, settings.state.history_length)
    try:
        if not reader.partitions():
            raise RunError(
                f"there is no state of {topic} in {settings.state_dir}; start the loop with "
                "`everfresh up`, name the folder of another run with --home, or wait until the "
                "worker of this one has opened its partitions"
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
        end = end_offsets(settings.kafka.brokers, topic).get(state.partition)
    return Known(state, meta.applied, end)


def _unknown(user: UserId, partitions: int) -> str:
    kind = "number" if isinstance(user, int) else "text"
    other = f"'\"{user}\"' for text" if isinstance(user, int) else "42 without quotes for a number"
    return (
        f"no accepted events of user {user!r} are in the {partitions} partitions here; this id is "
        f"a {kind} and ids keep their type, so try {other}; `everfresh dlq list` shows events that "
        "were not accepted"
    )


def _table(history: list[Interaction]) -> Table:
    table = new_table("item", "action", "time", "value", right=("value",))
    for event in history:
        value = "" if event.value is None else f"{event.value:g}"
        table.add_row(repr(event.item), event.action, utc_time(event.time), value)
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
            f"nothing is up here: this is the state that the worker left, with all events of "
            f"{place} before offset {known.applied}"
        )
    elif known.lag:
        lines.append(
            f"the state of {place} reaches offset {known.applied} of {known.end}: at most "
            f"{known.lag:,} records are still to be applied, and some may be this user's"
        )
    else:
        lines.append(
            f"the state of {place} reaches the log's end, offset {known.end}: no event is missing"
        )
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
            {"item": event.item, "action": event.action, "time": event.time, "value": event.value}
            for event in history
        ],
    }

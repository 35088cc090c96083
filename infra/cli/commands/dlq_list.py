"""``everfresh dlq list`` and ``show``: which events were not accepted, and why."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from everfresh.adapters.kafka.dead_letters import DeadLetterReader, Selection
from everfresh.adapters.kafka.redrive import Redriver
from everfresh.contracts.dead_letter import DeadLetter
from everfresh.contracts.errors import RunError, SettingsError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.streams import write_json
from everfresh.infra.cli.terminal import Terminal, lines, styled
from everfresh.infra.cli.views.tables import new_table
from everfresh.infra.cli.views.text import utc_time

_EXCERPT = 60
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def selection(
    reason: str, topic: str, partition: int, since: str, places: Sequence[str] = ()
) -> Selection:
    """The dead letters that these options mean; ``SettingsError`` where one cannot be read."""
    return Selection(
        reason or None,
        topic or None,
        None if partition < 0 else partition,
        _moment_ms(since) if since else None,
        frozenset(parse_place(place) for place in places) if places else None,
    )


def parse_place(text: str) -> tuple[int, int]:
    """``PARTITION:OFFSET``."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text, re.ASCII)
    if not match:
        raise SettingsError(
            f"the place of a dead letter is PARTITION:OFFSET, such as 0:17; found {text!r}; "
            "`everfresh dlq list` shows places"
        )
    return int(match[1]), int(match[2])


def _moment_ms(text: str) -> int:
    if ago := re.fullmatch(r"(\d{1,12})([smhd])", text, re.ASCII):
        return max(0, time.time_ns() // 1_000_000 - int(ago[1]) * _UNITS[ago[2]] * 1000)
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--since is {text!r}; expected 90s, 30m, 12h, 7d, or a time such as 2026-01-31T12:00 "
            "(UTC unless it names another zone)"
        ) from None
    return max(0, int(seconds * 1000))


def run_list(
    settings: Settings, chosen: Selection, limit: int, *, oldest: bool, as_json: bool
) -> None:
    """Print the chosen dead letters; ``Unreachable`` where no broker answers."""
    settings = with_brokers(settings)
    reader, reasons = _reader(settings), Counter[str]()
    shown: deque[DeadLetter] = deque(maxlen=None if oldest else limit)
    for letter in reader.read(chosen):
        reasons[letter.reason] += 1
        if not oldest or len(shown) < limit:
            shown.append(letter)
    redriver = Redriver(settings.kafka.brokers, settings.kafka.topic_prefix)
    sent = redriver.sent() if shown else set()
    ordered = list(shown) if oldest else list(reversed(shown))
    if as_json:
        for letter in ordered:
            write_json(_described(letter, letter.identity in sent))
        return
    console = Terminal()
    if not reasons:
        console.print("no dead letters" + (" match" if chosen != Selection() else ""))
    else:
        _print_letters(console, ordered, sent, reasons, "oldest" if oldest else "newest")
    if foreign := reader.foreign + redriver.foreign:
        console.print(f"left out: {foreign:,} records on these topics that everfresh did not write")


def _print_letters(
    console: Terminal,
    letters: Sequence[DeadLetter],
    sent: set[str],
    reasons: Counter[str],
    which: str,
) -> None:
    console.print(_table(letters, sent))
    total = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
    console.print(f"the {which} {len(letters):,} of {reasons.total():,}: {total}")


def run_show(settings: Settings, place: str, *, raw: bool) -> None:
    """Print one dead letter; ``RunError`` where there is none at that place."""
    settings = with_brokers(settings)
    letter = _at(_reader(settings), parse_place(place))
    if letter is None:
        raise RunError(f"there is no dead letter at {place}; `everfresh dlq list` shows places")
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.buffer.flush()
        return
    console = Terminal()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    rows = [
        ("from", _origin(letter)),
        ("appended", utc_time(letter.timestamp)),
        ("reason", letter.reason),
        ("detail", letter.detail),
        *((f"header {name}", _text(content)) for name, content in letter.headers),
        ("key", "(none)" if letter.key is None else _text(letter.key)),
        ("value", "(none)" if letter.value is None else _text(letter.value)),
    ]
    if letter.cut_from is not None:
        rows.append(
            ("cut from", f"{letter.cut_from:,} bytes, too long to keep; it cannot be sent again")
        )
    for name, text in rows:
        grid.add_row(name, text)
    console.print(grid)


def _at(reader: DeadLetterReader, place: tuple[int, int]) -> DeadLetter | None:
    there: Iterator[DeadLetter] = reader.read(Selection(places=frozenset([place])))
    return next(there, None)


def _reader(settings: Settings) -> DeadLetterReader:
    kafka = settings.kafka
    return DeadLetterReader(kafka.brokers, kafka.topic_prefix, settings.source_topics)


def _table(letters: Sequence[DeadLetter], sent: set[str]) -> Table:
    """One entry per dead letter: its place, and beside it three lines on what it is."""
    table = new_table("place", "reason, time of append, where it came from; detail; value")
    for letter in letters:
        size = letter.cut_from or len(letter.value or b"")
        value = _text((letter.value or b"")[:_EXCERPT]) + ("…" if size > _EXCERPT else "")
        mark = " (sent again)" if letter.identity in sent else ""
        head = f"{letter.reason}{mark}  {utc_time(letter.timestamp)}  {_origin(letter)}"
        last = styled((f"{value} ({size:,} bytes)", "dim"))
        about = lines(styled((head, "bold")), styled(letter.detail), last)
        table.add_row(f"{letter.place[0]}:{letter.place[1]}", about)
    return table


def _origin(letter: DeadLetter) -> str:
    return f"{letter.topic} partition {letter.partition} offset {letter.offset}"


def _described(letter: DeadLetter, sent: bool) -> dict[str, Any]:
    """Bytes as text where they are text, else as base64 under a name that says so."""
    described: dict[str, Any] = {
        "place": f"{letter.place[0]}:{letter.place[1]}",
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp,
        "reason": letter.reason,
        "detail": letter.detail,
        "redriven": sent,
        "headers": {name: _text(content) for name, content in letter.headers},
    }
    for name, content in (("key", letter.key), ("value", letter.value)):
        try:
            described[name] = None if content is None else content.decode()
        except UnicodeDecodeError:
            described[f"{name}_base64"] = content  # written as base64
    return described


def _text(content: bytes) -> str:
    return content.decode(errors="backslashreplace")

"""How far a replay of a file has come, so that the next one of it goes on from there.

The stream worker knows an event that is sent again only among the last ones
(``events.remember_ids``). A long file outgrows that. So the replay keeps a mark in the home: how
many events of the file are in the log for certain, and a hash of them. The next replay of it leaves
out as many, if the file still begins with these very events. A longer copy of it does.

A mark is of one log: a topic that was made anew has none. It is written after a flush, so it never
counts an event that is not in the log. After ``kill -9`` the events since the last mark are sent
again; they are few enough for the worker to know them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
from kafka.errors import KafkaError

from everfresh.adapters.kafka.admin import connect_admin
from everfresh.contracts.event import Event
from everfresh.contracts.kafka.security import Brokers
from everfresh.streaming.replay.spans import LogSpan

EVERY = 20_000
"""Events between two marks."""


class Mark(msgspec.Struct, frozen=True):
    """``sent`` events of ``path`` are in the log, and ``digest`` is a hash of them, in order.

    ``starts`` and ``ends`` say between which offsets they stand; an earlier release did not.
    """

    path: str
    log: str
    sent: int
    digest: str
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}


class ReplayMark:
    """The mark of one file in one log. ``folder`` keeps it; an empty ``log`` keeps none.

    ``span`` is where the events stand that are in the log; whoever sends notes them there.
    """

    def __init__(self, folder: Path, path: Path, log: str) -> None:
        self._path = str(path.resolve())
        self._log = log
        name = hashlib.sha256(f"{log}\0{self._path}".encode(errors="surrogateescape")).hexdigest()
        self._file = folder / f"{name[:32]}.json"
        self._sent = 0
        self._digest = hashlib.sha256()
        self.span = LogSpan()

    def unsent(self, events: Iterable[Event], total: int) -> tuple[int, Iterator[Event]]:
        """How many of the first ``total`` events need not be sent, and the others."""
        mark = self._read()
        if mark is not None and mark.sent <= total:
            rest = iter(events)
            for event in islice(rest, mark.sent):
                self.note(event)
            if self._digest.hexdigest() == mark.digest:
                self.span = LogSpan(mark.starts, mark.ends)
                return mark.sent, islice(rest, total - mark.sent)
            self._sent, self._digest = 0, hashlib.sha256()
        return 0, islice(iter(events), total)

    def note(self, event: Event) -> bool:
        """The next event was handed over. Whether it is time to flush and to :meth:`write`."""
        self._digest.update(f"{event.user_id!r}\0{event.id}\n".encode(errors="surrogateescape"))
        self._sent += 1
        return self._sent % EVERY == 0

    def write(self) -> None:
        """All that was noted is in the log."""
        if not (self._log and self._sent):
            return
        span = self.span
        digest = self._digest.hexdigest()
        mark = Mark(self._path, self._log, self._sent, digest, span.starts, span.ends)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(_printable(mark)) + b"\n")
        draft.replace(self._file)

    def forget(self) -> None:
        """The file is sent from its beginning."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> Mark | None:
        if not self._log:
            return None
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Mark)
        except (OSError, msgspec.MsgspecError):
            return None


def log_name(brokers: Brokers, topic: str) -> str:
    """Which log a topic is, by its cluster and its topic id; empty where nobody can tell.

    ``Unreachable`` where no broker answers.
    """
    try:
        with connect_admin(brokers) as admin:
            cluster = admin.describe_cluster()["cluster_id"]
            (about,) = admin.describe_topics([topic])
    except KafkaError:
        return ""
    return "" if about["error_code"] else f"{cluster}/{about['topic_id']}"


def _printable(mark: Mark) -> Mark:
    """A path may have bytes that are no UTF-8."""
    path = mark.path.encode(errors="backslashreplace").decode()
    return msgspec.structs.replace(mark, path=path)

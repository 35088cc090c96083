"""The ``Assigner`` that is built in: it follows the definitions, in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import Assignment, Assignments
from everfresh.contracts.experiments.definition import Definition, closed_arms
from everfresh.contracts.experiments.first_arm import FirstArms

_LOG = logging.getLogger(__name__)
_POLL_MS = 500
_AGAIN_S = 5.0
_CLOSE_S = 5.0


class Reader(Protocol):
    """What of a reader of definitions is used."""

    end: int
    skipped: int

    def read_to_end(self) -> None:
        """Take in what is there now."""

    def poll(self, timeout_ms: int) -> bool:
        """Take in what comes within the time; whether anything did."""

    def definitions(self) -> Mapping[str, tuple[int, Definition]]:
        """Version and definition by name; those that were stopped among them."""

    def assignments(self) -> Assignments:
        """What assigns users by the definitions as they are now."""

    def left_out(self) -> str:
        """What was skipped, and where the last of it stands."""

    def close(self) -> None:
        """End the connection."""


class DefinitionFollower:
    """Assigns by the definitions as of the last record that was read.

    ``open_reader`` gives a reader at the topic's beginning. The constructor reads to the end, and
    raises what that raises. Later, while the topic cannot be read, the definitions that are known
    stay; it is said in the log and in the figures, and tried again from the beginning.
    ``first_arms`` knows which arms users of sticky experiments were shown first.
    """

    def __init__(
        self, open_reader: Callable[[], Reader], first_arms: FirstArms | None = None
    ) -> None:
        self._open_reader = open_reader
        self._first_arms = first_arms
        self._reader: Reader | None = None
        self._said = 0
        self._reason = ""
        self._figures: dict[str, Any] = {}
        self._assignments = Assignments()
        self._stopping = threading.Event()
        self._reopen()
        self._thread = threading.Thread(target=self._follow, name="experiments", daemon=True)
        self._thread.start()

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """See the port."""
        return self._assignments.assign(user)

    def asking(self, user: UserId, named: str | None) -> None:
        """See the port; nobody is asked."""

    def definitions(self) -> Assignments:
        """See the port."""
        return self._assignments

    def figures(self) -> dict[str, Any]:
        """See the port."""
        return {**self._figures, "experiments_reason": self._reason}

    def close(self) -> None:
        """End the thread and the connection; one that waits for a broker is left behind."""
        self._stopping.set()
        self._thread.join(_CLOSE_S)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._reader is None:
                    self._reopen()
                elif self._reader.poll(_POLL_MS):
                    self._take(self._reader)
            except Exception as error:
                self._say(error)
                self._drop()
                self._stopping.wait(_AGAIN_S)
        self._drop()

    def _reopen(self) -> None:
        reader = self._open_reader()
        try:
            reader.read_to_end()
        except BaseException:
            reader.close()
            raise
        self._reader, self._said = reader, 0
        self._take(reader)
        if self._reason:
            _LOG.info("the definitions of experiments can be read again")
            self._reason = ""

    def _take(self, reader: Reader) -> None:
        made = reader.assignments().with_first_arms(self._first_arms)
        before, after = self._assignments.names(), made.names()
        self._assignments = made
        closed = closed_arms(reader.definitions())
        self._figures = {
            "experiments": len(made),
            "experiments_closed": len(closed),
            "experiments_closed_arms": ", ".join(closed),
            "experiments_read": reader.end,
            "experiments_left_out": reader.skipped,
        }
        if before != after:
            _LOG.info("running experiments: %s", ", ".join(after) or "none")
        if reader.skipped > self._said:
            self._said = reader.skipped
            _LOG.warning("%s", reader.left_out())

    def _say(self, error: Exception) -> None:
        """Once for each cause, not at each try."""
        if str(error) != self._reason:
            self._reason = str(error)
            line = "the definitions of experiments cannot be followed; those known stay: %s"
            unexpected = None if isinstance(error, EverfreshError) else error
            _LOG.warning(line, error, exc_info=unexpected)

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

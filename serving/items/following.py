"""Follows the topic ``items`` into a replica's catalogue, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from everfresh.adapters.machine.give_way import give_way
from everfresh.contracts.errors import EverfreshError
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.ports import ItemSource
from everfresh.serving.items.catalogue import Catalogue

_LOG = logging.getLogger(__name__)
_POLL_MS = 500
_AGAIN_S = 5.0
_CLOSE_S = 5.0
_SAID_S = 5.0


class CatalogueFollower:
    """Reads the topic to its end in the constructor, which raises what that raises.

    ``open_source`` gives a source from an offset on. Later, while the topic cannot be read, the
    catalogue stays as it is; it is said in the log and in the figures, and tried again from there.
    """

    def __init__(self, open_source: Callable[[int], ItemSource], catalogue: Catalogue) -> None:
        self._open_source = open_source
        self._catalogue = catalogue
        self._source: ItemSource | None = None
        self._said = 0
        self._reason = ""
        self._stopping = threading.Event()
        self._reopen()
        self._thread = threading.Thread(target=self._follow, name="items", daemon=True)
        self._thread.start()

    def figures(self) -> dict[str, Any]:
        """What there is to report, about once a second."""
        catalogue, source = self._catalogue, self._source
        return {
            "items": len(catalogue.table),
            "items_read": catalogue.end,
            "items_cold": catalogue.cold_items,
            "items_left_out": (source.skipped if source else self._said) + catalogue.refused,
            "items_reason": self._reason,
        }

    def close(self) -> None:
        """End the thread and the connection; one that waits for a broker is left behind."""
        self._stopping.set()
        self._thread.join(_CLOSE_S)

    def _follow(self) -> None:
        give_way()
        while not self._stopping.is_set():
            try:
                if self._source is None:
                    self._reopen()
                else:
                    self._take(self._source, self._source.poll(_POLL_MS), gently=True)
            except Exception as error:
                self._say(error)
                self._drop()
                self._stopping.wait(_AGAIN_S)
        self._drop()

    def _reopen(self) -> None:
        known = self._catalogue.end
        source = self._open_source(known)
        if source.end < known:
            _LOG.warning(
                "the topic of items ends before offset %s, which was read: it was made anew; its "
                "records are taken in, and what was known before stays until this replica ends",
                known,
            )
        began = said = time.monotonic()
        try:
            for changes in source.read_to_end():
                self._take(source, changes)
                if self._stopping.is_set():
                    break
                if time.monotonic() - said >= _SAID_S:
                    said = time.monotonic()
                    _LOG.info("the catalogue is read: %s of %s", source.end, source.goal)
        except BaseException:
            source.close()
            raise
        self._source, self._said = source, 0
        self._take(source, [])
        if source.end:
            took = time.monotonic() - began
            _LOG.info("the catalogue has %s items; read in %.1f s", self._known(), took)
        self._reason = ""

    def _take(self, source: ItemSource, changes: list[ItemChange], *, gently: bool = False) -> None:
        refused = self._catalogue.refused
        self._catalogue.apply(changes, source.end, gently=gently)
        if source.skipped > self._said:
            self._said = source.skipped
            _LOG.warning("%s", source.left_out())
        if self._catalogue.refused > refused:
            _LOG.warning(
                "%s records of items have no room here, the last of them %s: raise items.most, or "
                "give items fewer kinds of attributes",
                self._catalogue.refused,
                self._catalogue.last_refused,
            )

    def _known(self) -> int:
        return len(self._catalogue.table)

    def _say(self, error: Exception) -> None:
        """Once for each cause, not at each try."""
        if str(error) != self._reason:
            self._reason = str(error)
            unexpected = None if isinstance(error, EverfreshError) else error
            line = "the catalogue cannot be followed; what is known of it stays: %s"
            _LOG.warning(line, error, exc_info=unexpected)

    def _drop(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

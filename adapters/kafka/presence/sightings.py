"""Whether a trainer of another home is alive, by what the topic ``status`` says. Pure.

A trainer says about once a second how it is, and in which home. One that has gone writes nothing
more, however it ended. So what stands in the topic already only raises a suspicion, and two
statuses that were appended some time apart after we began to look prove that somebody lives: what
a dying process had sent arrives at once.
"""

from __future__ import annotations

from everfresh.contracts.report import ComponentStatus

TRAINER = "trainer"
STOPPED = "stopped"
APART_MS = 700
"""Between two append times of one that is alive."""


class Sightings:
    """Of trainers beside ours, whose home is ``place``. Append times are UTC ms of the broker."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._suspected: set[str] = set()
        self._since: dict[str, int] = {}
        self._older: set[str] = set()

    def stood(self, status: ComponentStatus) -> None:
        """A status that was in the topic before we began to look, in order."""
        if not self._of_another(status):
            return
        if status.state == STOPPED:
            self._suspected.discard(status.place)
        else:
            self._suspected.add(status.place)

    @property
    def suspected(self) -> bool:
        """Whether another may be alive."""
        return bool(self._suspected)

    def came(self, status: ComponentStatus, appended_ms: int) -> ComponentStatus | None:
        """A status that came since; that of another trainer where it proves that one alive."""
        if status.component == TRAINER and status.place == self._place:
            self._since.setdefault(self._place, appended_ms)
        if not self._of_another(status):
            return None
        if status.state == STOPPED:
            self._suspected.discard(status.place)
            self._since.pop(status.place, None)
            self._older.discard(status.place)
            return None
        if status.place not in self._since and (
            status.place in self._suspected or self._place not in self._since
        ):
            self._older.add(status.place)
        since = self._since.setdefault(status.place, appended_ms)
        return status if appended_ms - since >= APART_MS else None

    def is_older(self, status: ComponentStatus) -> bool:
        """Whether that trainer was there before ours: of two, the one that came later ends."""
        return status.place in self._older

    def _of_another(self, status: ComponentStatus) -> bool:
        return status.component == TRAINER and status.place != self._place

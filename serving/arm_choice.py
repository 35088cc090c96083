"""From a request to its arm, and to the versions and histories that answer for it (law 7)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from everfresh.contracts.experiments.assignment import Assignment
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.ports import Assigner
from everfresh.serving.exploration import exploring_items
from everfresh.serving.history.reader import CachedHistoryReader
from everfresh.serving.interleaving import Captured, interleaved_items
from everfresh.serving.recommend import (
    Answer,
    RecommendRequest,
    ScoreRequest,
    Shelf,
    recommend_items,
)
from everfresh.serving.shared_pass import Steps
from everfresh.serving.tracks import ServedTracks
from everfresh.serving.versions.holder import LoadedVersion


class Side(msgspec.Struct, frozen=True):
    """A track as it goes on: what gives its live version, and who reads histories for it."""

    current: Callable[[], LoadedVersion | None]
    histories: CachedHistoryReader

    def captured(self) -> Captured | None:
        """As it is now; ``None`` before its first version."""
        loaded = self.current()
        return None if loaded is None else Captured(loaded, self.histories)


class Chosen(msgspec.Struct, frozen=True):
    """What one request is answered by, captured once. ``loaded`` is ``None`` before the default
    track's first version; ``second`` is the other team of an interleaved answer."""

    arm: Assignment
    loaded: LoadedVersion | None
    histories: CachedHistoryReader
    second: Captured | None = None


class ArmChoice:
    """``choose`` is called once for each request, from any thread."""

    def __init__(self, assigner: Assigner, default: Side, tracks: ServedTracks) -> None:
        self._assigner = assigner
        self._default = default
        self._tracks = tracks
        self._counting = threading.Lock()
        self.without_track = 0
        """Answers of which a track was not here."""

    def choose(self, request: RecommendRequest | ScoreRequest) -> Chosen:
        """An arm whose track is not here, or has no version yet, is answered for by the default
        track, and the assignment says so."""
        arm = request.assigned
        if arm is None:
            arm = self._assigner.assign(request.user_id, request.arm)
        if arm.track != DEFAULT:
            first = self._captured(arm.track)
            if first is not None:
                return Chosen(arm, first.loaded, first.histories, self._second(arm))
            # Nobody compares a track with itself, so an interleaved answer has no teams then.
            arm = msgspec.structs.replace(arm, track=DEFAULT, teams=())
        default = self._default
        return Chosen(arm, default.current(), default.histories, self._second(arm))

    def _second(self, arm: Assignment) -> Captured | None:
        return self._captured(arm.teams[1].track) if arm.teams else None

    def _captured(self, name: str) -> Captured | None:
        if name == DEFAULT:
            return self._default.captured()
        track = self._tracks.get(name)
        loaded = None if track is None else track.line.current()
        if track is not None and loaded is not None:
            return Captured(loaded, track.histories)
        with self._counting:
            self.without_track += 1
        return None


def answer_for(
    chosen: Chosen, loaded: LoadedVersion, request: RecommendRequest, shelf: Shelf
) -> Steps[Answer]:
    """The answer by what was chosen; ``loaded`` is its version. Where the second team of an
    interleaved answer is not here, the first makes it alone, and it names no teams."""
    if chosen.arm.explore is not None:
        return exploring_items(loaded, chosen.histories, request, chosen.arm, shelf)
    if chosen.second is None:
        return recommend_items(loaded, chosen.histories, request, chosen.arm, shelf)
    both = Captured(loaded, chosen.histories), chosen.second
    return interleaved_items(both, request, chosen.arm, shelf)

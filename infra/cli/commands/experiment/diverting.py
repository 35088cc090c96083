"""Tells tracks whose users they learn from, where an experiment diverts data."""

from __future__ import annotations

import msgspec

from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import DEFAULT, Definition
from everfresh.contracts.experiments.track import Audience
from everfresh.contracts.settings import Settings


def require_divertible(settings: Settings, definition: Definition) -> None:
    """``ExperimentRefused`` where a track of an arm learns from another experiment's users."""
    declared = FsspecTracks(settings).declared()
    for arm in definition.arms:
        track = declared.get(arm.track)
        if track is not None and track.audience is not None:
            raise ExperimentRefused(
                f"track {track.name} learns from the users of experiment "
                f"{track.audience.experiment} alone; start another track for arm {arm.name}"
            )


def divert(settings: Settings, definition: Definition) -> None:
    """Have each track that an arm names learn from the users that these arms have now.

    Called after each change of the definition, so what one change left undone the next one does.
    """
    tracks = FsspecTracks(settings)
    declared = tracks.declared()
    for name in sorted({arm.track for arm in definition.arms} - {DEFAULT}):
        if name in declared:
            audience = Audience.of(definition, name)
            tracks.declare(msgspec.structs.replace(declared[name], audience=audience))

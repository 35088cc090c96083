"""Tracks: lines of versions beside the default one, as the weight store declares them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from everfresh.contracts.errors import ExperimentRefused, TrackRefused
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.buckets import (
    arm_of,
    bucket_after,
    bucket_ranges,
    fnv1a32,
    namespace_bucket,
)
from everfresh.contracts.experiments.definition import (
    DEFAULT,
    Definition,
    Namespace,
    require_name,
)
from everfresh.contracts.foreign import JSON, Milliseconds, advice, newer

NOTHING = "nothing"
"""What a track starts from that starts from no version; so no track has this name."""
MOST_LIVE = 7
"""Tracks beside the default one that are served at a time: replicas hold a version of each."""
MOST_DECLARED = 100
_FORMAT = 1

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class Audience(msgspec.Struct, frozen=True):
    """The users of those arms of an experiment that name a track, by the experiment's hash alone.

    ``ranges`` are of buckets, each from its first number up to and without its second.
    """

    experiment: _Text
    seed: _Text
    ranges: list[tuple[float, float]]
    namespace: Namespace | None = None

    @classmethod
    def of(cls, definition: Definition, track: str) -> Audience:
        """Of the definition as it is now: a ramp widens it."""
        weights = [arm.weight for arm in definition.arms]
        ranges = bucket_ranges(len(weights), definition.coverage, weights)
        own = [at for at, arm in zip(ranges, definition.arms, strict=True) if arm.track == track]
        return cls(definition.name, definition.seed, own, definition.namespace)

    def holds(self, user: UserId) -> bool:
        """Whether the user is one of them."""
        value, space = str(user), self.namespace
        place = 0.0 if space is None else namespace_bucket(space.name, value)
        if space is not None and not space.begin <= place < space.end:
            return False
        return arm_of(bucket_after(fnv1a32(self.seed), value), self.ranges) is not None


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One line of versions beside the default track, which itself is not declared.

    Written by ``everfresh tracks``; read by the trainer and by replicas, about once a second.

    ``tuning`` are the settings in which the line differs from those of the trainer, by their names,
    such as ``trainer.learning_rate``; they never change. ``origin`` is what it started from, such
    as ``default:57``, or ``nothing``. A ``live`` track is trained and served, a ``frozen`` one is
    served as it is, and of an ``ended`` one the versions are kept. Times are for people, in UTC ms;
    ``started`` also tells two tracks apart that had one name after each other.

    With an ``audience`` the data is diverted: only events of these users are targets, and those of
    everybody else are context. Without one it is shared: all events are targets.
    """

    name: _Text
    tuning: dict[str, Any] = {}
    origin: _Text = NOTHING
    state: Literal["live", "frozen", "ended"] = "live"
    audience: Audience | None = None
    started: Milliseconds
    changed: Milliseconds

    @property
    def served(self) -> bool:
        """Whether replicas answer with it."""
        return self.state != "ended"


class _Declared(msgspec.Struct, frozen=True):
    format: int
    tracks: list[Track]


def encode_tracks(tracks: dict[str, Track]) -> bytes:
    """Indented JSON: operators read it."""
    declared = _Declared(_FORMAT, [tracks[name] for name in sorted(tracks)])
    return msgspec.json.format(msgspec.json.encode(declared), indent=2)


def decode_tracks(raw: bytes) -> dict[str, Track]:
    """The inverse of :func:`encode_tracks`; ``ValueError``, which says why, for anything else."""
    try:
        declared = msgspec.json.decode(raw, type=_Declared)
    except msgspec.DecodeError as error:
        raise ValueError(newer(raw, (_FORMAT,), JSON) or str(error)) from None
    if declared.format != _FORMAT:
        raise ValueError(
            f"format {_FORMAT} was expected, found {declared.format}; "
            f"{advice(declared.format, (_FORMAT,), 'run the release that wrote it')}"
        )
    if len(declared.tracks) > MOST_DECLARED:
        raise ValueError(f"{len(declared.tracks)} tracks, at most {MOST_DECLARED} were expected")
    for track in declared.tracks:
        try:
            require_track_name(track.name)
        except TrackRefused as error:
            raise ValueError(str(error)) from None
    return {track.name: track for track in declared.tracks}


def require_track_name(name: str) -> None:
    """``TrackRefused`` where a name is none that a track beside the default one can have."""
    try:
        require_name("a track", name)
    except ExperimentRefused as error:
        raise TrackRefused(str(error)) from None
    if name in (DEFAULT, NOTHING):
        raise TrackRefused(f"the name {name} has a meaning of its own; choose another one")


def with_track(tracks: dict[str, Track], track: Track) -> dict[str, Track]:
    """The tracks with this one in place of any of its name; ``TrackRefused`` where that is one too
    many."""
    require_track_name(track.name)
    changed = {**tracks, track.name: track}
    served = [each.name for each in changed.values() if each.served]
    if track.served and len(served) > MOST_LIVE:
        raise TrackRefused(
            f"{MOST_LIVE} tracks beside the default one are served already, and replicas hold a "
            "version of each; end one with `everfresh tracks end NAME`"
        )
    if len(changed) > MOST_DECLARED:
        raise TrackRefused(
            f"{MOST_DECLARED} tracks are declared already; take one away with `everfresh tracks "
            "end NAME --delete`"
        )
    return changed

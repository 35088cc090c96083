"""Every error that everfresh raises on purpose.

    EverfreshError
    ├── SettingsError          a setting is wrong, or two settings exclude each other
    ├── MissingDependency      a program or package is missing that the operator must install
    ├── Unreachable            a broker, cluster or TCP port cannot be reached or is taken
    ├── RunError               a run is up already, is not up, or a component of it died
    ├── DataFileError          an event file is missing, empty or of another format
    ├── EventRejected          one event cannot be accepted and becomes a dead letter
    ├── ForeignRecord          a record of one of our topics is none that everfresh writes
    │   └── NewerRecord        or one that only a newer release reads
    ├── ExperimentRefused      a definition of an experiment is wrong, or excluded by another
    ├── TrackRefused           a track cannot be started or changed as asked
    ├── DeliveryError          events handed to the producer did not reach the log
    ├── StateError             the state directory cannot be used as it is
    │   ├── StateFormatError   it was written by another format version or list of actions
    │   ├── StateLocked        another process uses it
    │   ├── LogMismatch        state and log disagree (topic recreated, records deleted)
    │   ├── LogTruncated       no state, no snapshot, and the log's beginning was deleted
    │   ├── SnapshotError      a snapshot is damaged, foreign, or cannot be read or written
    │   └── StateElsewhere     the user's state is kept on another machine
    ├── WorkerLost             one of several training processes has gone
    ├── WindowGap              slices of one partition do not tile the log (law 3)
    └── WeightsError           a version cannot be read or written
        ├── VersionNotFound    no complete version has that number
        ├── CorruptVersion     a hash, a size or a format is not what the manifest names
        ├── WrongParent        a delta meets another version than it was made from (law 6)
        └── StalePublish       the pointer moved on; this writer must not publish (law 8)

A message says what was expected, what was found, and what the operator can do.
User mistakes raise these; ``assert`` is for our own bugs.
"""

from __future__ import annotations


class EverfreshError(Exception):
    """Root of the tree. The command line prints each of them as one line, without a traceback."""


class SettingsError(EverfreshError):
    """A setting is wrong, or two settings exclude each other."""


class MissingDependency(EverfreshError):
    """A program or package is missing that the operator must install."""


class Unreachable(EverfreshError):
    """A broker, cluster or TCP port cannot be reached, or is taken by another program."""


class RunError(EverfreshError):
    """The run in a home is up already, is not up, or a component of it died for good."""


class DataFileError(EverfreshError):
    """An event file is missing, empty, or of another format than was named."""


class EventRejected(EverfreshError):
    """One event cannot be accepted and becomes a dead letter. ``reason`` is its short name."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ForeignRecord(EverfreshError):
    """A record of one of our topics is none that everfresh writes there; its reader leaves it out.

    The message says why, in words fit for a log, without the record's place.
    """


class NewerRecord(ForeignRecord):
    """A newer release wrote the record, in a ``format`` that this one does not read."""

    def __init__(self, message: str, format: int) -> None:  # noqa: A002  (the field's name)
        super().__init__(message)
        self.format = format


class ExperimentRefused(EverfreshError):
    """A definition of an experiment is wrong, or another one excludes it; nothing was written."""


class TrackRefused(EverfreshError):
    """A track cannot be started or changed as asked; nothing was changed."""


class DeliveryError(EverfreshError):
    """Events handed to the producer did not reach the log."""


class StateError(EverfreshError):
    """The state directory cannot be used as it is."""


class StateFormatError(StateError):
    """The state was written by another format version, or with another list of actions."""


class StateLocked(StateError):
    """Another process uses the state directory."""


class LogMismatch(StateError):
    """State and log disagree: the topic was recreated, or records between them were deleted."""


class LogTruncated(StateError):
    """There is no state, no snapshot reaches the log, and the log's beginning was deleted."""


class SnapshotError(StateError):
    """A snapshot cannot be used or written. ``reason`` is ``corrupt``, ``foreign``,
    ``out of reach`` (the log does not hold what comes next), ``missing`` (a follower needs one and
    there is none) or ``unreachable``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StateElsewhere(StateError):
    """The user's own partition is not among those whose state is on this machine."""


class WorkerLost(EverfreshError):
    """One of several training processes has gone; the window is trained again from its parent."""


class WindowGap(EverfreshError):
    """Slices of one partition leave a gap, or overlap (law 3)."""


class WeightsError(EverfreshError):
    """A version of the weights cannot be read or written."""


class VersionNotFound(WeightsError):
    """The store has no complete version of that number."""


class CorruptVersion(WeightsError):
    """A file of a version does not have the hash, size or format its manifest names."""


class WrongParent(WeightsError):
    """A delta was made from, or for, another version than the one at hand (law 6)."""


class StalePublish(WeightsError):
    """The pointer has moved on since this writer read it, so it must not publish (law 8)."""

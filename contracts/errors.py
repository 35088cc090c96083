"""Every error everfresh raises on purpose.

    EverfreshError
    ├── SettingsError          a setting is wrong or two exclude each other
    ├── MissingDependency      a program or extra that the operator must install
    ├── Unreachable            a broker, cluster or port cannot be reached or taken
    ├── RunError               a run is up already, is not up, or a part of it died
    ├── DataFileError          an event file is missing, empty or of another format
    ├── EventRejected          one event cannot be accepted; goes to the dead letters
    ├── DeliveryError          events handed to the producer did not reach the log
    ├── StateError             the state directory cannot be used as it is
    │   ├── StateFormatError   written by another format version or action table
    │   ├── StateLocked        another process holds it
    │   ├── LogMismatch        state and log disagree (topic recreated, retention gap)
    │   ├── LogTruncated       no state, no snapshot, and the log's beginning is gone
    │   └── SnapshotError      a snapshot is damaged, foreign, or cannot be read or written
    ├── WorkerLost             one of several training processes has gone
    ├── WindowGap              slices of one partition do not tile the log
    └── WeightsError           a version cannot be read or written
        ├── VersionNotFound
        ├── CorruptVersion     a hash, a size or a format does not hold
        ├── WrongParent        a delta meets another version than it was made from
        └── StalePublish       the pointer moved on; this writer must not publish

A message names what was expected, what was found, and what the operator can do.
User mistakes raise these; ``assert`` is for our own bugs.
"""

from __future__ import annotations


class EverfreshError(Exception):
    """Root of the tree: anything below it prints as one line, without a traceback."""


class SettingsError(EverfreshError):
    """A setting is wrong, or two settings exclude each other."""


class MissingDependency(EverfreshError):
    """A program or package that is needed is not installed."""


class Unreachable(EverfreshError):
    """A broker, cluster or port cannot be reached or taken."""


class RunError(EverfreshError):
    """The run of a home is not as needed: up already, not up, or a part of it died for good."""


class DataFileError(EverfreshError):
    """An event file is missing, empty or not of the format that was named."""


class EventRejected(EverfreshError):
    """One event cannot be accepted. ``reason`` is a short, countable name."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DeliveryError(EverfreshError):
    """Events handed to the producer did not reach the log."""


class StateError(EverfreshError):
    """The state directory cannot be used as it is."""


class StateFormatError(StateError):
    """State bytes were written by another format version or action table."""


class StateLocked(StateError):
    """Another process holds the state directory."""


class LogMismatch(StateError):
    """State and log disagree: a recreated topic or a retention gap."""


class LogTruncated(StateError):
    """There is no state, no snapshot reaches the log, and the log's beginning is gone."""


class SnapshotError(StateError):
    """A snapshot cannot be used or written. ``reason`` is ``corrupt``, ``foreign``,
    ``out of reach`` (the log does not hold what comes next) or ``unreachable``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class WorkerLost(EverfreshError):
    """One of several training processes has gone; the window is trained again from its parent."""


class WindowGap(EverfreshError):
    """Slices of one partition leave a gap or overlap (law 3)."""


class WeightsError(EverfreshError):
    """A weights version cannot be read or written."""


class VersionNotFound(WeightsError):
    """No complete version of that number is in the store."""


class CorruptVersion(WeightsError):
    """A file of a version does not have the hash, size or format its manifest names."""


class WrongParent(WeightsError):
    """A delta was made from or for another version than the one at hand (law 6)."""


class StalePublish(WeightsError):
    """The pointer moved on since this writer read it; it must not publish."""

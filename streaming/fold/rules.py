"""The settings that the fold needs, as one immutable record."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import MAX_ID_BYTES
from everfresh.contracts.settings import Settings
from everfresh.streaming.log.records import MAX_RECORD_BYTES

FOLD = 1
"""Grows with a release that makes other states of the same log than the release before."""

_ENTRY_BYTES = MAX_ID_BYTES + 15
_TARGET_BYTES = 18
_FRAME_BYTES = 65_536


class FoldRules(msgspec.Struct, frozen=True):
    """See the settings of the same names; ``forward_misplaced`` is whether ``events.misplaced`` is
    ``forward``, ``period_ms`` is ``windows.seconds`` in milliseconds,
    ``ahead_ms`` is ``events.ahead_s``, ``horizon_ms`` ``joins.horizon_s``, 0 where nothing is
    joined."""

    actions: list[str]
    max_bytes: int
    history_length: int
    max_targets: int
    part_bytes: int
    period_ms: int
    stretch_events: int = 65_536
    ahead_ms: int = 3_600_000
    horizon_ms: int = 0
    remember_ids: int = 0
    forward_misplaced: bool = False
    history_events: int = 0


def fold_rules(settings: Settings) -> FoldRules:
    """The rules of these settings; ``SettingsError`` where a slice part could not be delivered."""
    history, targets = settings.state.history_length, settings.windows.max_targets
    largest = (history + targets) * _ENTRY_BYTES + targets * _TARGET_BYTES
    if max(largest, settings.windows.part_bytes) + _FRAME_BYTES > MAX_RECORD_BYTES:
        raise SettingsError(
            f"one example may take {largest} bytes and a part {settings.windows.part_bytes}, more "
            f"than the {MAX_RECORD_BYTES} of a record: lower state.history_length ({history}), "
            f"windows.max_targets ({targets}) or windows.part_bytes"
        )
    return FoldRules(
        actions=list(settings.events.actions),
        max_bytes=settings.events.max_bytes,
        history_length=history,
        max_targets=targets,
        part_bytes=settings.windows.part_bytes,
        period_ms=round(settings.windows.seconds * 1000),
        stretch_events=settings.windows.stretch_events,
        ahead_ms=round(settings.events.ahead_s * 1000),
        remember_ids=settings.events.remember_ids,
        forward_misplaced=settings.events.misplaced == "forward",
        horizon_ms=round(settings.joins.horizon_s * 1000),
        history_events=settings.windows.history_events,
    )


def differing(theirs: Mapping[str, int], rules: FoldRules) -> str:
    """What another holder of the log folds by other settings, for the operator; empty for nothing.

    ``theirs`` is its :func:`shaping`; what it does not name counts as equal.
    """
    for name, ours in shaping(rules).items():
        if theirs.get(name, ours) != ours:
            return (
                f"it was folded with {name} {theirs[name]}, and here that is {ours}; run the same "
                "release with the same settings as the stream worker"
            )
    return ""


def shaping(rules: FoldRules) -> dict[str, int]:
    """The rules that decide what state a log folds into, by the names of their settings."""
    return {
        "the fold's version": FOLD,
        "events.max_bytes": rules.max_bytes,
        "events.ahead_s (in ms)": rules.ahead_ms,
        "events.remember_ids": rules.remember_ids,
        "state.history_length": rules.history_length,
    }

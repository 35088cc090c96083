"""Pasts that are read before a version is live: several in one run, and never too many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from everfresh.contracts.event import UserId
from everfresh.contracts.sequence import StoredSequence, UserState
from everfresh.model.inference.incremental import PastStates
from everfresh.serving.history import cached_history as kept
from everfresh.serving.history import history as past
from everfresh.serving.history.history import PastReader
from tests.serving.test_past import NOTHING, V1, V2, Log, same

LENGTHS = [3, 1, 6, 5, 6, 2, 6, 5, 0]


class Logs:
    """A state for each user, with so many events."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.logs = [Log(20) for _ in lengths]
        for user, number in enumerate(lengths):
            if number:
                self.logs[user].append([1 + (user + at) % 30 for at in range(number)])

    def stored(self, user: UserId) -> StoredSequence | None:
        return self.logs[int(user)].stored(user)

    def read(self, user: UserId) -> UserState | None:
        return self.logs[int(user)].read(user)


def prepared(logs: Logs) -> PastReader:
    pasts = PastReader(logs, 1 << 20, ahead=64)
    for user in range(len(logs.logs)):
        pasts.read(V1, user)
    pasts.prepare(V2)
    return pasts


def test_pasts_read_ahead_in_one_run_are_those_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_AHEAD_S", 60.0)
    logs = Logs(LENGTHS)
    pasts = prepared(logs)
    for _ in range(2):
        for user, log in enumerate(logs.logs):
            same(pasts.read(V2, user), PastReader(logs, NOTHING).read(V2, user))
            log.append([8])
    figures = pasts.figures()
    known = sum(number > 0 for number in LENGTHS)
    assert (figures.prepared, figures.extended) == (known, known)


def test_a_run_takes_no_more_tokens_than_it_may_with_their_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(past, "_AHEAD_S", 60.0)
    monkeypatch.setattr(past, "_TOKENS", 20)
    runs: list[list[int]] = []
    read = kept.read_together

    def noted(network: object, windows: Sequence[object], length: int) -> object:
        runs.append([1 + one.shape[1] for one in windows])  # type: ignore[attr-defined]
        return read(network, windows, length)  # type: ignore[arg-type]

    monkeypatch.setattr(kept, "read_together", noted)
    pasts = prepared(Logs(LENGTHS))
    assert len(runs) > 1
    assert all(len(one) * max(one) <= 20 for one in runs), runs
    assert len(pasts._ready) == len(LENGTHS) - 1


def test_a_past_too_long_for_a_run_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_AHEAD_S", 60.0)
    monkeypatch.setattr(past, "_TOKENS", 4)
    extended: list[int] = []
    extend = PastStates.extend

    def noted(self: PastStates, network: object, events: object) -> object:
        extended.append(1)
        return extend(self, network, events)  # type: ignore[arg-type]

    logs = Logs([9, 9])
    pasts = PastReader(logs, 1 << 20, ahead=64)
    for user in (0, 1):
        pasts.read(V1, user)
    monkeypatch.setattr(PastStates, "extend", noted)
    pasts.prepare(V2)
    assert len(extended) == 2

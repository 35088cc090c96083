"""Brings a ledger up to the end of the outcomes: the only place where both meet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from everfresh.contracts.errors import ForeignRecord, LogMismatch
from everfresh.contracts.experiments.metric import Metric
from everfresh.contracts.outcome import Outcome
from everfresh.experiments.verdict.ledger import open_ledger
from everfresh.experiments.verdict.tally import Sums, Tally, Users

_COMMIT_EVERY = 5000
"""Outcomes between two commits; as many users at most are in memory."""


class Batch(Protocol):
    """See ``adapters.kafka.outcome_source.OutcomeBatch``."""

    partition: int
    end: int
    outcomes: list[Outcome]
    missed: int
    foreign: list[str]


class OutcomeSource(Protocol):
    """Where outcomes are read."""

    topic: str

    def read(self, offsets: Mapping[int, int]) -> Iterator[Batch]:
        """From these offsets to the end as it is now."""


def count(
    source: OutcomeSource, folder: Path, name: str, metrics: Sequence[Metric], answers_per_user: int
) -> tuple[Sums, str]:
    """The sums of all outcomes up to now, and a line on why they were counted anew; empty where
    they were not.

    ``folder`` keeps the ledgers. Stopped at any point, the next call goes on after the last commit.
    """
    path = folder / f"{name}.sqlite"
    with open_ledger(path, fingerprint(source.topic, name, metrics, answers_per_user)) as opened:
        ledger, anew = opened
        sums = ledger.sums()
        tally = Tally(name, metrics, answers_per_user, sums)
        waiting = 0
        try:
            for batch in source.read(dict(sums.offsets)):
                _take(batch, tally, ledger)
                waiting += len(batch.outcomes)
                if waiting >= _COMMIT_EVERY:
                    ledger.commit(sums)
                    waiting = 0
        except LogMismatch as error:
            raise LogMismatch(f"{error}; delete {path} to count from its beginning") from None
        ledger.commit(sums)
    why = "metrics, limits or topic changed, so all outcomes that are kept were counted anew"
    return sums, why if anew else ""


def _take(batch: Batch, tally: Tally, users: Users) -> None:
    sums = tally.sums
    sums.missed += batch.missed
    sums.foreign += len(batch.foreign)
    if batch.foreign:
        sums.last_foreign = batch.foreign[-1]
    for outcome in batch.outcomes:
        try:
            tally.add(outcome, users)
        except ForeignRecord as error:
            sums.foreign += 1
            sums.last_foreign = f"partition {batch.partition} before offset {batch.end}: {error}"
    sums.offsets[batch.partition] = batch.end


def fingerprint(topic: str, name: str, metrics: Sequence[Metric], answers_per_user: int) -> str:
    """What the sums depend on besides the outcomes. Guardrails and directions are no part of it."""
    counted = [[each.measure, each.types, each.cap] for each in metrics]
    told = json.dumps([topic, name, counted, answers_per_user])
    return hashlib.sha256(told.encode()).hexdigest()

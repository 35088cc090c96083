"""VMIS-kNN: rows that neighbours clicked, users whose last clicks are like this one's.

Kersbergen, Sprangers, Schelter, "Serenade: low-latency session-based recommendation in e-commerce
at scale" (SIGMOD 2022), from the session kNN of Ludewig and Jannach ("Evaluation of session-based
recommendation algorithms", 2018), by its description:

1. The last rows of a user, each once, the newest first, weigh less the older they are.
2. Sequences that clicked one of them lately are candidates; the ``sample`` newest stay.
3. A candidate is as similar as the weights of the rows that it shares; the ``neighbours`` most
   similar stay, of equals the newer.
4. A row scores the sum of the similarities of the neighbours that have it, each by how near the end
   its newest shared row stands.

Where users seldom click what they have just clicked, that row is left out, as published.

Learns with every click: a target is ranked before its click is learnt, and the next one of anybody
after it. Rows that no neighbour has follow in the order of the fading popularity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.sequence import encode_id
from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import MISS, Firsts, Ranks, spread
from everfresh.model.opponents.click_log import ClickLog, Ints
from everfresh.model.opponents.clicks import Click, append_order
from everfresh.model.opponents.fading import RATES, Rows
from everfresh.model.opponents.popularity import FadingPopularity, as_rows
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary

SAMPLE, NEIGHBOURS = 500, 100
CLICKS, LENGTH = 1_048_576, 20
"""How many clicks are remembered in all, and of a user."""
REPEATED = 0.05
"""Share of clicks on the very item before them from which that item is a candidate like others."""
_READ = 10
"""Rows of the asking user that are looked up; beyond, the published weight is 0."""


def user_mark(user: UserId) -> int:
    """64 bits that tell users apart, the same in every process."""
    return int.from_bytes(hashlib.blake2b(encode_id(user), digest_size=8).digest(), "little")


class VmisKnn:
    """Ranks rows of the vocabulary, and items that the window itself has brought so far."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        popularity: FadingPopularity,
        sample: int = SAMPLE,
        neighbours: int = NEIGHBOURS,
        log: ClickLog | None = None,
    ) -> None:
        self._vocabulary, self._popularity = vocabulary, popularity
        self._sample, self._neighbours = sample, neighbours
        self.log = ClickLog(CLICKS, LENGTH) if log is None else log
        # Clicks that had one before them, and those of them on the same row; of lately more.
        self.repeats: npt.NDArray[np.float64] = np.zeros(2)
        # Zeros between two targets: similarity by sequence, score by row.
        self._similar: npt.NDArray[np.float64] = np.zeros(0)
        self._scores: npt.NDArray[np.float64] = np.zeros(0)
        # Where a row, or a sequence, stands in a list: what stands elsewhere stands there twice.
        self._last: Ints = np.zeros(0, np.int32)
        self._first: Ints = np.zeros(0, np.int32)

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> Ranks:
        """One rank per target; targets are asked for in order of their append. All clicks are
        heard, also where only some are ``asked``."""
        rows = _RowsOf(self._vocabulary)
        # No more is read of a history, where what was seen is ranked, too.
        least = 0 if exclude_seen else -2 * _READ
        histories = [
            self._vocabulary.rows_of([entry.item for entry in each.context[least:]])
            for each in examples
        ]
        marks = [user_mark(each.user) for each in examples]
        out = [np.full(len(each.targets), MISS, np.int64) for each in examples]
        kept = self.log.checkpoint_sequences(list(dict.fromkeys(marks)))
        tried: list[tuple[int, int]] = []
        self.reach(self._vocabulary.rows + sum(map(len, out)))
        try:
            for number, at in append_order(examples):
                history, item = histories[number], examples[number].targets[at].item
                row = rows.known(item)
                wanted = row != UNKNOWN and (asked is None or at < int(asked[number]))
                seen = set(history) - {UNKNOWN} if exclude_seen and wanted else set()
                if wanted and row not in seen:
                    out[number][at] = self._rank(marks[number], history, row, seen)
                row = row or rows.new(item)
                self.log.try_add(marks[number], row, len(tried))
                tried.append((marks[number], row))
                history.append(row)
        finally:
            self.log.undo(tried, kept)
        every = np.concatenate([np.zeros(0, np.int64), *out])
        return every[spread(asked, [len(each) for each in out])]

    def reach(self, rows: int) -> None:
        """Make room for scores of so many rows."""
        if rows > len(self._scores):
            self._scores, self._last = np.zeros(2 * rows), np.zeros(2 * rows, np.int32)
            self._popularity.counts.reach(2 * rows)

    def learn(self, examples: Sequence[DecodedExample], learnt: Sequence[Click]) -> None:
        """Take in clicks on items that have rows."""
        marks = [user_mark(example.user) for example in examples]
        for click in learnt:
            if click.row != UNKNOWN:
                self.log.add(marks[click.example], click.row)
        after = [click.row == click.last for click in learnt if click.last and click.row]
        counted = np.array([len(after), sum(after)])
        self.repeats = self.repeats * 2.0 ** (-len(after) * RATES[1]) + counted

    def _rank(self, user: int, history: Sequence[int], row: int, seen: set[int]) -> int:
        found = self._score(user, history, seen)
        scores, mine = self._scores[found], self._scores[row]
        if mine > 0.0:
            rank = 1 + int(np.count_nonzero(scores > mine))
            level = found[scores == mine]
            if len(level) > 1:
                keys = self._popularity.keys(level)
                rank += int((keys < keys[level == row]).sum())
        elif row < self._vocabulary.rows:
            before = found[scores > 0.0]
            without = np.concatenate([before, as_rows(seen)]) if seen else before
            rank = len(before) + self._popularity.rank(row, without)
        else:
            rank = MISS  # brought by this window, and by nobody alike
        self._scores[found] = 0.0
        return rank

    def _score(self, user: int, history: Sequence[int], seen: set[int]) -> Rows:
        """Fill in the scores; the rows that have any, and others, each once."""
        read = [row for row in dict.fromkeys(reversed(history[-2 * _READ :])) if row != UNKNOWN]
        neighbours, weights = self._nearest(user, read[:_READ])
        rows = self.log.sequences[neighbours].ravel().astype(np.int64)
        np.add.at(self._scores, rows, np.repeat(weights, self.log.length))
        before, same = self.repeats
        barred = [] if same > REPEATED * before else read[:1]
        self._scores[[UNKNOWN, *barred, *seen]] = 0.0
        self._last[rows] = np.arange(len(rows))
        once: Rows = rows[self._last[rows] == np.arange(len(rows))]
        return once

    def _nearest(self, user: int, read: Sequence[int]) -> tuple[Ints, npt.NDArray[np.float64]]:
        """The neighbours, most similar first, and the weight of what each of them has."""
        log = self.log
        if len(self._similar) < len(log.newest):
            self._similar = np.zeros(len(log.newest))
            self._first = np.zeros(len(log.newest), np.int32)
        similar, own = self._similar, log.sequence_of(user)
        parts, places = [], []
        for place, row in enumerate(read):
            clicked = log.clicked(row, self._sample)
            parts.append(clicked[similar[clicked] == 0.0])
            places.append(len(parts[-1]))
            similar[clicked] += (len(read) - place) / len(read)
        if not parts:
            return log.clicked(UNKNOWN, 0), np.zeros(0)
        found = np.concatenate(parts)
        place_of = np.repeat(np.arange(len(places)), places)
        self._first[found] = np.arange(len(found))
        once = (self._first[found] == np.arange(len(found))) & (found != own)
        found, place_of = found[once], place_of[once]
        alike = similar[found]
        for clicked in parts:
            similar[clicked] = 0.0
        newest = log.newest[found]
        if len(found) > self._sample:
            chosen = np.argpartition(-newest, self._sample)[: self._sample]
            found, place_of, alike = found[chosen], place_of[chosen], alike[chosen]
            newest = newest[chosen]
        order = np.lexsort((-newest, -alike))[: self._neighbours]
        return found[order], alike[order] * (1.0 - place_of[order] / _READ)


class _RowsOf:
    """Rows of the vocabulary, and numbers beyond them for items that a window brings."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._new: dict[ItemId, int] = {}

    def known(self, item: ItemId) -> int:
        return self._vocabulary.row(item) or self._new.get(item, UNKNOWN)

    def new(self, item: ItemId) -> int:
        row = self._new[item] = self._vocabulary.rows + len(self._new)
        return row

"""The last clicks of the stream, by item and by user: what neighbours are looked for in.

A ring of bounded length. All else here follows from it: a copy that takes in the same clicks in the
same order finds the same (law 5), so a checkpoint keeps the ring alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from everfresh.model.opponents.fading import Rows
from everfresh.model.touched_rows import TouchedRows

Ints = npt.NDArray[np.int32]
_NONE = 0
_FEWEST = 64


class ClickLog:
    """Clicks are numbered from 0; the last ``most`` are known, and ``length`` of each user.

    ``users`` are marks that tell users apart. A *sequence* is a user's last clicks, an item once.
    """

    def __init__(self, most: int, length: int) -> None:
        self.most, self.length = most, length
        self.number = 0
        self.users: npt.NDArray[np.uint64] = np.zeros(_FEWEST, np.uint64)
        self.rows: Ints = np.zeros(_FEWEST, np.int32)
        self._owners: Ints = np.zeros(_FEWEST, np.int32)  # the sequence that a click is of
        self._places: Ints = np.zeros(_FEWEST, np.int32)  # and how many that had before it
        self._by_row: dict[int, array[int]] = {}
        self._by_user: dict[int, int] = {}
        self._free: list[int] = []
        # Of each sequence: its rows in a ring, its clicks so far, the number of the last of them.
        self.sequences: Ints = np.zeros((_FEWEST, length), np.int32)
        self._clicks: Rows = np.zeros(_FEWEST, np.int64)
        self.newest: Rows = np.full(_FEWEST, -1, np.int64)
        self.changed = TouchedRows()  # places in the ring, since the last version

    def sequence_of(self, user: int) -> int:
        """The sequence of a user, -1 where none is known."""
        return self._by_user.get(user, -1)

    def clicked(self, row: int, most: int) -> Ints:
        """The sequences of the last ``most`` clicks on a row; one may come twice."""
        places = self._by_row.get(row)
        if places is None:
            return self._owners[:0]
        found: Ints = self._owners[np.frombuffer(places, np.int32)[-most:]]
        return found

    def add(self, user: int, row: int) -> None:
        """The next click. The oldest goes where there are too many."""
        at = self.number % self.most
        if self.number >= self.most:
            self._forget_click(at)
        self._put(at, user, row)
        self.changed.add(at)

    def try_add(self, user: int, row: int, tried: int) -> None:
        """The same until :meth:`undo`, after ``tried`` others; meanwhile nothing goes."""
        self._put(min(self.number - tried, self.most) + tried, user, row)

    def _put(self, at: int, user: int, row: int) -> None:
        if at >= len(self.rows):
            self._reach_clicks(at + 1)
        owner = self._by_user.get(user, -1)
        if owner < 0:
            owner = self._by_user[user] = self._new_sequence()
        sequence, place = self.sequences[owner], int(self._clicks[owner])
        sequence[sequence == row] = _NONE
        sequence[place % self.length] = row
        self.users[at], self.rows[at] = user, row
        self._owners[at], self._places[at] = owner, place
        self._clicks[owner] = place + 1
        self.newest[owner] = self.number
        if row != _NONE:
            self._by_row.setdefault(row, array("i")).append(at)
        self.number += 1

    def _new_sequence(self) -> int:
        if self._free:
            return self._free.pop()
        made = len(self._by_user)
        if made >= len(self._clicks):
            self.sequences = np.concatenate([self.sequences, np.zeros_like(self.sequences)])
            self._clicks = np.concatenate([self._clicks, np.zeros_like(self._clicks)])
            self.newest = np.concatenate([self.newest, np.full_like(self.newest, -1)])
        return made

    def _reach_clicks(self, clicks: int) -> None:
        more = max(len(self.rows), clicks - len(self.rows))
        self.users = np.concatenate([self.users, np.zeros(more, np.uint64)])
        self.rows, self._owners, self._places = (
            np.concatenate([column, np.zeros(more, np.int32)])
            for column in (self.rows, self._owners, self._places)
        )

    def _forget_click(self, at: int) -> None:
        row, owner, place = int(self.rows[at]), int(self._owners[at]), int(self._places[at])
        if row != _NONE:
            places = self._by_row[row]
            places.pop(0)  # clicks of a row stand in order
            if not places:
                del self._by_row[row]
        clicks = int(self._clicks[owner])
        if clicks - place <= self.length:
            self.sequences[owner, place % self.length] = _NONE
        if clicks == place + 1:  # its last one: the sequence ends
            del self._by_user[int(self.users[at])]
            self._clicks[owner], self.newest[owner] = 0, -1
            self._free.append(owner)

    def checkpoint_sequences(self, users: Sequence[int]) -> list[tuple[int, Ints, int, int]]:
        """What :meth:`undo` needs of these users, before clicks of theirs are tried."""
        kept = []
        for user in users:
            owner = self.sequence_of(user)
            if owner >= 0:
                clicks, newest = int(self._clicks[owner]), int(self.newest[owner])
                kept.append((owner, self.sequences[owner].copy(), clicks, newest))
        return kept

    def undo(
        self,
        tried: Sequence[tuple[int, int]],
        kept: Sequence[tuple[int, Ints, int, int]],
    ) -> None:
        """Take back the clicks ``(user, row)`` that were tried, all that there were."""
        self.number -= len(tried)
        for _, row in tried:
            places = self._by_row[row]
            places.pop()
            if not places:
                del self._by_row[row]
        for owner, sequence, clicks, newest in kept:
            self.sequences[owner], self._clicks[owner], self.newest[owner] = (
                sequence,
                clicks,
                newest,
            )
        before = {owner for owner, *_ in kept}
        for user in dict.fromkeys(user for user, _ in tried):
            if (owner := self._by_user[user]) not in before:
                del self._by_user[user]
                self.sequences[owner], self._clicks[owner], self.newest[owner] = _NONE, 0, -1
                self._free.append(owner)

    def forget(self, rows: Sequence[int]) -> None:
        """These hold no item any more."""
        for row in rows:
            for at in self._by_row.pop(row, ()):
                self.rows[at] = _NONE
                self.changed.add(at)
                sequence = self.sequences[self._owners[at]]
                sequence[sequence == row] = _NONE

    def kept(self) -> tuple[npt.NDArray[np.uint64], Ints]:
        """Users and rows of all known clicks, as the ring holds them."""
        known = min(self.number, self.most)
        return self.users[:known], self.rows[:known]

    def take(self, users: npt.NDArray[np.uint64], rows: Ints, number: int) -> None:
        """Become what the ring of a log with so many clicks makes of an empty one."""
        first = max(0, number - self.most)
        self.number = first
        for at in range(first, number):
            user, row = int(users[at % self.most]), int(rows[at % self.most])
            self._put(at % self.most, user, row)

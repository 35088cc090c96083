"""The trends of a recommender: what its windows have counted, as tensors that a version keeps.

They travel with the weights (law 7), and a window changes the rows that it sighted, no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.safetensors import TableBytes
from everfresh.model.row_changes import RowChanges
from everfresh.model.touched_rows import TouchedRows, table_bytes
from everfresh.model.trends import counts, followers
from everfresh.model.trends.contexts import NEWEST, Sightings, newest_times, stream_time
from everfresh.model.trends.counts import FadingCounts, Floats, Ints
from everfresh.model.trends.followers import PLACES, Followers
from everfresh.model.trends.table import (
    EARLIER_WEIGHTS,
    TrendTable,
    chances,
    features_of,
    network_alone,
    of_today,
    widened,
)
from everfresh.model.weights import lengthen, overwrite, require_alike

PREFIX = "trends."
_TABLES = ("counts", "counted", "followers", "links", "linked")
_EARLIER_WIDTHS = {"counts": len(counts.HALF_LIVES), "links": len(followers.HALF_LIVES)}
"""Counts of an item, and of a follower, in versions of earlier builds."""


def _blank(rows: int) -> dict[str, Tensor]:
    lives, links = len(counts.LIVES), followers.COUNTS
    return {
        "counts": torch.zeros(rows, lives),
        "counted": torch.zeros(rows, dtype=torch.int64),
        "followers": torch.zeros(rows, PLACES, dtype=torch.int32),
        "links": torch.zeros(rows, PLACES, links),
        "linked": torch.zeros(rows, dtype=torch.int64),
        "clock": torch.zeros((), dtype=torch.int64),
        "time": torch.zeros((), dtype=torch.int64),
        "weights": torch.from_numpy(network_alone()),
    }


def _like(found: Mapping[str, Tensor], blank: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``blank`` as the build has it that wrote what was ``found``: earlier ones had fewer weights
    and fewer counts; the first of them knew no time."""
    shape = tuple(found["weights"].shape) if "weights" in found else ()
    if shape not in EARLIER_WEIGHTS:
        return dict(blank)
    like = {**blank, "weights": torch.zeros(shape)}
    like |= {name: blank[name][..., :width] for name, width in _EARLIER_WIDTHS.items()}
    if shape == EARLIER_WEIGHTS[0] and "time" not in found:
        del like["time"]
    return like


class Trends:
    """Changed by a trainer through :meth:`learn`, :meth:`forget` and :meth:`weigh`, by a replica
    through :meth:`take`. Without any, scores are the network's."""

    def __init__(self, rows: int = 1) -> None:
        self._tensors = _blank(rows)
        self._touched = TouchedRows()  # since the last version

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], rows: int, what: str) -> Trends:
        """From the tensors of a version, :data:`PREFIX` before their names, where they are; blank
        where there are none. ``CorruptVersion`` where they do not fit."""
        found = {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}
        trends = cls(rows)
        if found:
            require_alike(_like(found, trends._tensors), found, what)
            trends._tensors = found
            trends.begin_version()
            trends._require_sound({name: tensor.numpy() for name, tensor in found.items()}, what)
        return trends

    def tensors(self) -> dict[str, Tensor]:
        """All of them, by the names that a version has; none before anything was learnt."""
        if not self.clock:
            return {}
        return {f"{PREFIX}{name}": tensor for name, tensor in self._tensors.items()}

    def tables(self) -> dict[str, TableBytes]:
        """The same as a version keeps them, where they are."""
        if not self.clock:
            return {}
        touched = self.touched()
        return {
            f"{PREFIX}{name}": table_bytes(tensor.numpy(), touched if name in _TABLES else None)
            for name, tensor in self._tensors.items()
        }

    def begin_version(self) -> None:
        """A version holds all that is here; from now on only what is touched differs."""
        self._touched.begin(len(self._tensors["counted"]))

    def touched(self) -> Ints:
        """Rows since then, ascending."""
        return self._touched.rows(len(self._tensors["counted"]))

    def own(self) -> None:
        """Copy what others may be using."""
        self._tensors = {name: tensor.clone() for name, tensor in self._tensors.items()}

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        for name in _TABLES:
            self._tensors[name] = lengthen(self._tensors[name], rows)

    @property
    def clock(self) -> int:
        """Events that were learnt."""
        return int(self._tensors["clock"])

    @property
    def time(self) -> int:
        """The stream's own, in UTC seconds; 0 where it is not known."""
        return int(self._tensors["time"]) if "time" in self._tensors else 0

    @property
    def weights(self) -> Floats:
        """Of the pool ``(places, WEIGHTS)``: as of :func:`network_alone`, or of an earlier build
        that had fewer places."""
        return of_today(self._tensors["weights"].numpy())

    def weigh(self, weights: Floats) -> None:
        """Pool by these from now on."""
        self._tensors["weights"] = torch.from_numpy(weights)

    def learn(self, events: Sightings) -> None:
        """The next events."""
        clock = self.clock
        self._become_todays()
        self.counted().learn(events.rows, events.begins, clock)
        self.followed().learn(events.before, events.rows, clock)
        self._touched.extend(np.append(events.before, events.rows))
        self._tensors["clock"] = torch.tensor(clock + len(events))
        newest = newest_times(self.newest(), events.times)
        self._tensors["time"] = torch.tensor(stream_time(newest))

    def _become_todays(self) -> None:
        """What an earlier build did not count begins at nothing."""
        if self._tensors["counts"].shape[1] == len(counts.LIVES):
            return
        for name, width in _EARLIER_WIDTHS.items():
            missing = _blank(len(self._tensors[name]))[name][..., width:]
            self._tensors[name] = torch.cat([self._tensors[name], missing], dim=-1)
        self._tensors["weights"] = torch.from_numpy(widened(self.weights))

    def newest(self) -> Ints:
        """Event times that stand for the newest ones that were learnt."""
        return np.full(NEWEST if self.time else 0, self.time)

    def forget(self, rows: Ints) -> Ints:
        """Of items that have left; returns the rows that this changes beside."""
        self.counted().counts[rows] = 0.0
        unlinked = self.followed().forget(rows)
        self._touched.extend(np.append(rows, unlinked))
        return unlinked

    def table(self, log_shares: Floats) -> TrendTable:
        """To score with, as of now; ``log_shares`` ``(rows,)`` are of all sightings."""
        clock = self.clock
        faded = self.counted().at(clock)
        chance = chances(faded, len(log_shares), clock)
        features = features_of(faded, log_shares)
        return TrendTable(features, chance, self.followed(), clock, self.weights, self.time)

    def take(self, changes: RowChanges, rows: int, what: str) -> None:
        """Become the next version's, of so many rows; ``changes`` by the names that
        :meth:`tensors` has."""
        if self.clock:
            for name, tensor in self._tensors.items():
                overwrite(tensor, changes[f"{PREFIX}{name}"], what)
            changed = {name: changes[f"{PREFIX}{name}"].data for name in self._tensors}
            self._require_sound(changed, what)
        else:
            self.grow(rows)
        if any(len(self._tensors[name]) != rows for name in _TABLES):
            raise CorruptVersion(f"{what}: trends of another number of rows than the vocabulary's")

    def _require_sound(self, found: Mapping[str, npt.NDArray[Any]], what: str) -> None:
        """What is read must name rows that there are, and events that have been."""
        bounds = {"followers": len(self._tensors["followers"]) - 1}
        bounds |= {"counted": self.clock, "linked": self.clock}
        for name, most in bounds.items():
            numbers = found[name]
            if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= most:
                raise CorruptVersion(f"{what}: {name} beyond {most:,}; take another version")
        if any(not np.isfinite(numbers).all() for numbers in found.values()):
            raise CorruptVersion(f"{what}: trends that are not finite; take another version")

    def counted(self) -> FadingCounts:
        """How often each row was sighted."""
        return FadingCounts(self._tensors["counts"].numpy(), self._tensors["counted"].numpy())

    def followed(self) -> Followers:
        """What has followed each row."""
        named, links, linked = (self._tensors[name].numpy() for name in _TABLES[2:])
        return Followers(named, links, linked)

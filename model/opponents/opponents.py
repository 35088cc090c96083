"""The opponents together: three learners over one vocabulary.

Used as test, then train (law 4): each ranks a window first, and :meth:`Opponents.update` takes the
window in afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from everfresh.contracts.window import DecodedExample
from everfresh.model.metrics import Firsts, Ranks
from everfresh.model.opponents.clicks import Click, clicks
from everfresh.model.opponents.markov import FadingMarkov
from everfresh.model.opponents.neighbours import VmisKnn
from everfresh.model.opponents.popularity import FadingPopularity
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import Vocabulary

POPULARITY, MARKOV, VMIS_KNN = "popularity", "markov", "vmis-knn"
OPPONENTS = (POPULARITY, MARKOV, VMIS_KNN)


class Opponent(Protocol):
    """Ranks; that changes nothing in it."""

    def ranks(
        self, examples: Sequence[DecodedExample], exclude_seen: bool, asked: Firsts | None = None
    ) -> Ranks:
        """One rank per target, in order of the examples and of their targets; of the examples that
        are ``asked`` alone, if not of all."""


class Opponents:
    """All that they have learnt from the windows so far.

    It changes through :meth:`update` alone. The same windows in the same order give the same.
    """

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = Vocabulary() if vocabulary is None else vocabulary
        self.events = 0
        self.popularity = FadingPopularity(self.vocabulary)
        self.markov = FadingMarkov(self.vocabulary, self.popularity)
        self.neighbours = VmisKnn(self.vocabulary, self.popularity)
        self._learnt: list[Click] = []

    def contenders(self) -> Mapping[str, Opponent]:
        """Each by its name."""
        ranked = (self.popularity, self.markov, self.neighbours)
        return dict(zip(OPPONENTS, ranked, strict=True))

    def update(
        self,
        examples: Sequence[DecodedExample],
        label: int = 0,
        limits: Limits | None = None,
        exclude_seen: bool = False,
    ) -> None:
        """Take in window ``label``: judge the half-lives on it, then count every target once."""
        for _, step in self.steps(examples, label, limits, exclude_seen):
            step()

    def steps(
        self,
        examples: Sequence[DecodedExample],
        label: int,
        limits: Limits | None,
        exclude_seen: bool,
    ) -> list[tuple[str, Callable[[], None]]]:
        """What :meth:`update` does, in order, and for which of them."""

        def admit() -> None:
            self._learnt = self._admit(examples, label, limits)

        def end() -> None:
            self.neighbours.learn(examples, self._learnt)
            self.events += len(self._learnt)
            self._learnt = []

        return [
            (POPULARITY, lambda: self.popularity.judge(examples, exclude_seen)),
            (MARKOV, lambda: self.markov.judge(examples, exclude_seen)),
            (POPULARITY, admit),
            (POPULARITY, lambda: self.popularity.learn(self._learnt, self.events + 1)),
            (MARKOV, lambda: self.markov.learn(self._learnt, self.events + 1)),
            (VMIS_KNN, end),
        ]

    def _admit(
        self, examples: Sequence[DecodedExample], label: int, limits: Limits | None
    ) -> list[Click]:
        items, users = sighted(examples)
        self.vocabulary.admit(items, label, users, limits)
        # What makes room is unknown from then on, to all three.
        if freed := self.vocabulary.expire(0, limits):
            self.popularity.forget(np.array(freed))
            self.markov.forget(np.array(freed))
            self.neighbours.log.forget(freed)
        return clicks(self.vocabulary, examples)

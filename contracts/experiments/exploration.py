"""Exploration: a share of an answer's places shows an item by chance, and says by which. Pure.

Of the places that rules do not fill, each shows its own item of the ranking or, with probability
``share``, a candidate that is not in the ranking's answer. Before the coins are tossed, each place
draws a candidate of its own, evenly and without repetition. So what a place shows does not depend
on other places, and its probability is known: ``1 - share`` for its own item, and ``share`` divided
by the number of candidates for each candidate. Where there are fewer candidates than places, only
the last places explore, as many as there are candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.draws import draw_bytes

MOST_CANDIDATES = 1_000
_NUMBER = 8
"""Bytes of a draw: even to one part in 2^64 divided by the number of candidates."""


class Explore(msgspec.Struct, frozen=True):
    """What an arm explores: ``share`` of its places, among the ``top`` best candidates that are not
    in the answer; where ``fresh_s`` is given, among those published in the last so many seconds."""

    share: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
    top: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)] = 100
    fresh_s: Annotated[int, msgspec.Meta(ge=1, le=10**9)] | None = None


class Drawn(msgspec.Struct, frozen=True):
    """``candidate_of`` has for each place the number of the candidate that it shows, or ``None``
    for its own item; ``propensities`` the probability of what it shows."""

    candidate_of: list[int | None]
    propensities: list[float]


def explored(
    places: int,
    fixed: Sequence[int],
    candidates: int,
    share: float,
    chance: tuple[str, UserId, str],
) -> Drawn:
    """Which of the ``places`` show which candidate; ``fixed`` places never explore.

    ``chance`` is experiment's seed, user and request: the same three draw the same.
    """
    shown: list[int | None] = [None] * places
    propensities = [1.0] * places
    exploring = [at for at in range(places) if at not in set(fixed)]
    exploring = exploring[max(0, len(exploring) - candidates) :]
    raw = draw_bytes(*chance, 2 * _NUMBER * len(exploring))
    numbers = [int.from_bytes(raw[at : at + _NUMBER], "big") for at in range(0, len(raw), _NUMBER)]
    moved: dict[int, int] = {}  # a shuffle of the candidates, of which only the begin is made
    for turn, at in enumerate(exploring):
        other = turn + numbers[2 * turn] % (candidates - turn)
        own = moved.get(other, other)
        moved[other] = moved.get(turn, turn)
        if numbers[2 * turn + 1] < share * 2**64:
            shown[at], propensities[at] = own, share / candidates
        else:
            propensities[at] = 1.0 - share
    return Drawn(shown, propensities)

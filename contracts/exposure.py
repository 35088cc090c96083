"""The exposure: which items an answer showed to whom, by which weights, from which state."""

from __future__ import annotations

from typing import Annotated

import msgspec

from everfresh.contracts.experiments.interleaving import Team
from everfresh.contracts.foreign import decoded

_Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Id = _Int | str


class Exposure(msgspec.Struct, frozen=True):
    """One answer that left a replica.

    Written by serving to the ``exposures`` topic (key: user id) once per answered request; read by
    the stream's join with feedback and by experimenters. An answer whose exposure could not be
    delivered has none. ``version`` is the weights version that scored every item of the answer
    (law 7). ``state_offset`` is the log offset, in ``state_partition``, of the user's last event
    that was known; both are ``None`` for a user without state. ``request_events`` is how many
    events of the request itself, which had not reached that state, were used besides. ``source``
    is ``model`` or ``popular``.

    ``arm`` and ``track`` are ``default`` for a user in no experiment; then ``experiment``,
    ``definition_version`` and ``probability`` are absent. ``definition_version`` is the offset, in
    the ``experiments`` topic, of the definition that decided; ``probability`` is the share of the
    experiment's users who get this arm, 0 to 1. Both are also absent where another system assigned
    the arm. Exposures of earlier releases have none of these but ``arm``.

    ``items_offset`` is the offset, in the ``items`` topic, of the last record of the catalogue that
    was known, absent before the first. With ``time`` it says which items might be shown. ``rules``
    names the rules of the answer: equal names, equal rules; absent without any. ``pinned`` are the
    places, from 0, whose items a rule had put there; their score is 0 where the version had none.

    ``tail`` names the events after the version's window that its trends counted besides, by
    partition and offsets: ``0:120-480 1:97-310+312-455``. Absent where they counted none. Their
    newest ones also say what time it is for the answer: whether its user comes back after a pause.

    Where two tracks made the answer together (interleaving), ``arm`` is ``interleaved``, ``teams``
    are these two, and ``team_of`` says for each place which of them brought its item: 0, 1, or -1
    for a place that a rule has filled. Each item's score is its own team's. ``track``, ``version``
    and ``epoch`` are then those of the first team. Both are empty in every other answer.

    ``sticky`` says that the user is to keep this arm: the stream worker notes the first one.

    Where the arm explores, ``explored`` are the places, from 0, that show a candidate by chance,
    and ``propensities`` has for each place the probability of what it shows, given user and version
    (see ``contracts.experiments.exploration``; 1 for a place that never explores).
    ``explored_share`` is the share of places that do. Without exploration they are empty and
    absent: a ranking without chance has no usable propensities.

    Readers ignore fields they do not know: older exposures also carry ``past_version``.
    """

    request_id: str
    user_id: _Id
    time: _Int
    arm: str
    version: _Int
    epoch: _Int
    source: str
    items: list[_Id]
    scores: list[float]
    state_partition: _Int | None = None
    state_offset: _Int | None = None
    request_events: _Int = 0
    experiment: str | None = None
    track: str = "default"
    definition_version: _Int | None = None
    probability: float | None = None
    items_offset: _Int | None = None
    rules: str | None = None
    pinned: list[_Int] = []
    tail: str | None = None
    teams: list[Team] = []
    team_of: list[_Int] = []
    sticky: bool = False
    explored: list[_Int] = []
    propensities: list[float] = []
    explored_share: float | None = None


_DECODE = msgspec.json.Decoder(Exposure).decode


def encode_exposure(exposure: Exposure) -> bytes:
    """JSON, so that experimenters read the topic with any client."""
    return msgspec.json.encode(exposure)


def decode_exposure(raw: bytes | None) -> Exposure:
    """The inverse of :func:`encode_exposure`; ``ForeignRecord`` for anything else."""
    return decoded(_DECODE, raw)

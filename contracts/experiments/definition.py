"""The definition of an experiment: what is tried, on whom, and in which arms."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from everfresh.contracts.errors import ExperimentRefused, ForeignRecord
from everfresh.contracts.experiments.exploration import Explore
from everfresh.contracts.experiments.interleaving import INTERLEAVED
from everfresh.contracts.foreign import JSON, Count, Milliseconds, advice, decoded, refuse_newer

DEFAULT = "default"
"""The arm of users who are in no experiment, and the track that serves them."""
HASH_VERSION = 2
FORMAT = 1
NEWER_FORMAT = 2
"""Of definitions that earlier releases would misread: these leave them out, and say so."""
READABLE = (FORMAT, NEWER_FORMAT)
_ONE_RELEASE = "run the same release everywhere"
MOST_ARMS = 20
LONGEST_TEXT = 200
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUM_ERROR = 1e-6

_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]


class Arm(msgspec.Struct, frozen=True):
    """One of the things that are compared: ``weight`` is its share of the experiment's users, and
    ``track`` the line of versions that serves them.

    ``explore`` says which of its places show items by chance; absent where none does.
    ``closed`` is when it was closed and ``why``: nobody gets it any more, as if its weight were 0,
    and nobody else moves. ``reopened`` is when a person opened it again; from then on only a person
    closes it. All are absent in an arm that was never closed; times are in UTC ms.
    """

    name: _Text
    weight: _Share
    track: _Text = DEFAULT
    closed: Milliseconds | None = None
    why: _Text = ""
    reopened: Milliseconds | None = None
    explore: Explore | None = None


class Namespace(msgspec.Struct, frozen=True):
    """A part of all users: experiments in one namespace with ranges that do not overlap have no
    user in common. A range goes from ``begin`` up to and without ``end``, both 0 to 1."""

    name: _Text
    begin: _Share
    end: _Share

    def overlaps(self, other: Namespace) -> bool:
        """Whether a user can be in both."""
        return self.name == other.name and self.begin < other.end and other.begin < self.end


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, as it is from this record on.

    Written by ``everfresh experiment`` to the ``experiments`` topic (key: ``name``), which keeps
    the last record of each name; read by replicas, which assign by it, and by the report. The
    record's offset is the *definition version*. A record without a value takes the experiment away.

    ``coverage`` is the share of each arm's users that are in. ``seed`` decides who is where: other
    experiments have other seeds. ``namespace`` is absent where all users may be in. A ``holdout``
    comes before all experiments: who is in it is in no experiment. ``diverted`` says that tracks
    which arms name learn from these arms' own users alone. ``interleaved`` says that the tracks of
    its two arms make each answer together; then no user has one of the arms, and ``coverage`` is
    the share of all users who get such answers. ``sticky`` says that whoever was shown an arm keeps
    it; ``moved`` that coverage or weights were changed since in a way that would move others, so
    that first arms have to be looked up. ``since`` is the definition
    version of the first record of this experiment; it is absent in that record itself. Of several
    experiments that a user is in, the one with the smallest decides. ``started``, ``changed`` and
    ``stopped`` are for people, in UTC ms; ``stopped`` is absent while it runs.
    """

    format: int = FORMAT
    name: _Text
    arms: list[Arm]
    seed: _Text
    hash_version: int = HASH_VERSION
    coverage: _Share = 1.0
    namespace: Namespace | None = None
    holdout: bool = False
    diverted: bool = False
    interleaved: bool = False
    sticky: bool = False
    moved: bool = False
    since: Count | None = None
    started: Milliseconds
    changed: Milliseconds
    stopped: Milliseconds | None = None


_DECODE = msgspec.json.Decoder(Definition).decode


def closed_arms(known: Mapping[str, tuple[int, Definition]]) -> list[str]:
    """The arms of running experiments that were closed, each as ``ARM of EXPERIMENT``."""
    return [
        f"{arm.name} of {name}"
        for name, (_, each) in sorted(known.items())
        if each.stopped is None
        for arm in each.arms
        if arm.closed is not None
    ]


def encode_definition(definition: Definition) -> bytes:
    """JSON, so that experimenters read the topic with any client."""
    needs_newer = definition.interleaved or definition.sticky
    needs_newer = needs_newer or any(arm.explore is not None for arm in definition.arms)
    if needs_newer and definition.format == FORMAT:
        definition = msgspec.structs.replace(definition, format=NEWER_FORMAT)
    return msgspec.json.encode(definition)


def decode_definition(raw: bytes | None) -> Definition:
    """The inverse of :func:`encode_definition`; ``ForeignRecord`` for anything else, and for a
    definition that :func:`require_sound` refuses."""
    try:
        definition = decoded(_DECODE, raw)
    except ForeignRecord as error:
        refuse_newer("a definition", raw, READABLE, JSON)
        raise error from None
    try:
        require_sound(definition)
    except ExperimentRefused as error:
        raise ForeignRecord(str(error)) from None
    return definition


def require_sound(definition: Definition) -> None:
    """``ExperimentRefused`` where a definition is wrong in itself."""
    if definition.format not in READABLE:
        raise ExperimentRefused(
            f"a definition of format {FORMAT} or {NEWER_FORMAT} was expected, found format "
            f"{definition.format}; {advice(definition.format, READABLE, _ONE_RELEASE)}"
        )
    require_name("an experiment", definition.name)
    if definition.hash_version != HASH_VERSION:
        raise ExperimentRefused(
            f"hash version {HASH_VERSION} was expected, found {definition.hash_version}; it is "
            "the only one that assigns users"
        )
    namespace = definition.namespace
    if namespace is not None:
        require_name("a namespace", namespace.name)
        if namespace.begin >= namespace.end:
            raise ExperimentRefused(
                f"namespace {namespace.name} has the range {namespace.begin:g} to "
                f"{namespace.end:g}, which holds nobody; it begins below its end"
            )
    _require_arms(definition)
    if definition.interleaved:
        _require_two_teams(definition)
    if definition.sticky and (definition.holdout or definition.diverted or definition.interleaved):
        other = "a holdout" if definition.holdout else "diverted data"
        raise ExperimentRefused(
            "a sticky experiment remembers which arm each user was shown, so it cannot go with "
            f"{'interleaving' if definition.interleaved else other}"
        )


def require_name(what: str, name: str) -> None:
    """``ExperimentRefused`` where a name could not stand in a header, a table or a file's name."""
    if not _NAME.fullmatch(name):
        raise ExperimentRefused(
            f"the name of {what} has 1 to 64 letters, digits and signs of `._-`, the first a "
            f"letter or digit; found {ascii(name)[:80]}"
        )


def require_tracks(definition: Definition, tracks: Collection[str]) -> None:
    """``ExperimentRefused`` where an arm names a track that is none of ``tracks``.

    A reader takes such a definition all the same: a track may end while an experiment runs.
    """
    if definition.diverted and all(arm.track == DEFAULT for arm in definition.arms):
        raise ExperimentRefused(
            f"the {DEFAULT} track learns from everybody; to divert data, give arms tracks of their "
            "own: --arm control@same --arm treatment@fast"
        )
    for arm in definition.arms:
        if arm.track not in tracks:
            raise ExperimentRefused(
                f"arm {arm.name} names the track {ascii(arm.track)[:80]}, and there is no such "
                f"track; the tracks are: {', '.join(sorted(tracks))}"
            )


def _require_arms(definition: Definition) -> None:
    arms = definition.arms
    least = 1 if definition.holdout else 2
    if not least <= len(arms) <= MOST_ARMS:
        raise ExperimentRefused(
            f"{least} to {MOST_ARMS} arms were expected, found {len(arms)}; name each arm and its "
            "weight"
        )
    for arm in arms:
        require_name("an arm", arm.name)
        require_name(f"the track of arm {arm.name}", arm.track)
    names = [arm.name for arm in arms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ExperimentRefused(f"arm {twice[0]} is named twice; each arm has a name of its own")
    total = sum(arm.weight for arm in arms)
    if abs(total - 1.0) > _SUM_ERROR:
        raise ExperimentRefused(
            f"the weights of the arms sum to {total:g}; they are shares, so they must sum to 1"
        )


def _require_two_teams(definition: Definition) -> None:
    arms = definition.arms
    if definition.holdout or definition.diverted:
        other = "a holdout" if definition.holdout else "diverted data"
        raise ExperimentRefused(
            f"an interleaved experiment shows each of its users both tracks, so it cannot go with "
            f"{other}"
        )
    if len(arms) != 2:
        raise ExperimentRefused(
            f"an interleaved experiment has two arms, found {len(arms)}; name them as in --arm "
            "control --arm treatment@fast"
        )
    if arms[0].track == arms[1].track:
        raise ExperimentRefused(
            f"both arms of the interleaved experiment name the track {arms[0].track}; name two "
            "tracks, as in --arm control --arm treatment@fast. For an A/A test start a track of "
            "equal settings: everfresh tracks start same"
        )
    if arms[0].weight != arms[1].weight:
        raise ExperimentRefused(
            "the teams of an interleaved experiment bring as many items each, so its arms have no "
            "weights; leave them out"
        )
    for arm in arms:
        if arm.explore is not None:
            raise ExperimentRefused(
                f"arm {arm.name} explores, and an interleaved answer is of both rankings alone; "
                "compare an arm that explores in an experiment without --interleaved"
            )
        if arm.name == INTERLEAVED:
            raise ExperimentRefused(
                f"{INTERLEAVED} is the arm of the answers themselves; give the team another name"
            )

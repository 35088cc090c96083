"""The opponents as bytes, and back: part of a version, since a version is a checkpoint (law 5).

Safetensors, so that what a window did not touch are rows that did not change:

    vocabulary/…            its own tensors (``model.vocabulary.vocabulary``)
    items/values, touched   F32 (rows, half-lives), I64 (rows): the popularity's counts
    pairs/rows              I32 (slots, 2): an item's row and a follower's, zeros for a free slot
    pairs/values, touched   their counts, as above
    clicks/users, rows      I64, I32: the ring of the last clicks
    gains                   F64 (2, half-lives): what each would have gained, popularity's first
    repeats                 F64 (2): of the neighbours
    numbers                 I64: format, events, clicks
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.foreign import advice
from everfresh.contracts.safetensors import TableBytes, TableFile
from everfresh.model.opponents.fading import Choice, FadingCounts
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.touched_rows import table_bytes
from everfresh.model.vocabulary.vocabulary import Vocabulary

FORMAT = 1
_VOCABULARY = "vocabulary/"
_FOLLOWERS = msgspec.msgpack.Decoder(tuple[bytes, dict[int, dict[int, int]]])

Tensors = Mapping[str, npt.NDArray[np.generic]]


def opponent_tables(opponents: Opponents) -> TableFile:
    """What they know, as a version keeps it, where it is."""
    popularity, markov = opponents.popularity, opponents.markov
    log = opponents.neighbours.log
    users, rows = log.kept()
    popularity.counts.reach(opponents.vocabulary.rows)
    pairs, clicks = markov.counts.changed.rows(markov.used), log.changed.rows(len(rows))
    numbers = np.array([FORMAT, opponents.events, log.number])
    vocabulary = opponents.vocabulary.tables().tensors
    return TableFile(
        {
            **{f"{_VOCABULARY}{name}": table for name, table in vocabulary.items()},
            **_counts("items", popularity.counts, opponents.vocabulary.rows),
            **_counts("pairs", markov.counts, markov.used),
            "pairs/rows": table_bytes(markov.pairs[: markov.used], pairs),
            "clicks/users": table_bytes(users.view(np.int64), clicks),
            "clicks/rows": table_bytes(rows, clicks),
            "gains": table_bytes(np.stack([popularity.choice.gains, markov.choice.gains])),
            "repeats": table_bytes(opponents.neighbours.repeats),
            "numbers": table_bytes(numbers),
        }
    )


def encode_opponents(opponents: Opponents) -> bytes:
    """Equal opponents that learnt alike give equal bytes."""
    return opponent_tables(opponents).to_bytes()


def begin_version(opponents: Opponents) -> None:
    """A version holds all that they know; from now on only what is touched differs."""
    opponents.vocabulary.begin_version()
    opponents.popularity.counts.changed.begin(opponents.vocabulary.rows)
    opponents.markov.counts.changed.begin(opponents.markov.used)
    log = opponents.neighbours.log
    log.changed.begin(len(log.kept()[1]))


def decode_opponents(raw: bytes) -> Opponents:
    """The inverse of :func:`encode_opponents`; ``CorruptVersion`` on foreign bytes."""
    try:
        tensors = load(raw)
        kind, events, clicks = tensors["numbers"].tolist()
        if kind != FORMAT:
            raise CorruptVersion(
                f"opponents of format {kind} were found, expected {FORMAT}; "
                f"{advice(kind, (FORMAT,), 'take another version')}"
            )
        words = {
            name.removeprefix(_VOCABULARY): tensor
            for name, tensor in tensors.items()
            if name.startswith(_VOCABULARY)
        }
        made = Opponents(Vocabulary.decode(save(words)))
        made.events = events
        made.markov.take(tensors["pairs/rows"])
        _take_counts(made.popularity.counts, tensors, "items")
        _take_counts(made.markov.counts, tensors, "pairs")
        popularity, markov = tensors["gains"]
        made.popularity.choice, made.markov.choice = Choice(popularity), Choice(markov)
        made.neighbours.repeats = tensors["repeats"]
        log = made.neighbours.log
        log.take(tensors["clicks/users"].view(np.uint64), tensors["clicks/rows"], clicks)
        begin_version(made)
    except (SafetensorError, KeyError, ValueError, IndexError, TypeError) as error:
        raise CorruptVersion(
            f"the opponents' counts were expected, found other bytes ({error}); take another "
            "version"
        ) from None
    return made


def opponents_of_counts(popularity: bytes, markov: bytes) -> Opponents:
    """From the counts of all time that earlier builds kept, as if all had just been counted.

    They fade from now on; neighbours begin with nothing. ``CorruptVersion`` on foreign bytes.
    """
    made = Opponents(Vocabulary.decode(popularity))
    made.popularity.counts.reach(made.vocabulary.rows)
    made.popularity.counts.values[: made.vocabulary.rows] = made.vocabulary.counts[:, None]
    try:
        words, followers = _FOLLOWERS.decode(markov)
    except msgspec.MsgspecError as error:
        raise CorruptVersion(
            f"last-item counts were expected, found other bytes ({error}); take another version"
        ) from None
    if words != popularity:  # both had counted the same windows, or rows mean nothing
        followers = {}
    pairs = [(last, row, n) for last, counts in followers.items() for row, n in counts.items()]
    table = np.array(pairs, np.int64).reshape(-1, 3)
    made.markov.take(table[:, :2].astype(np.int32))
    made.markov.counts.values[: len(table)] = table[:, 2:]
    return made


def _counts(name: str, counts: FadingCounts, slots: int) -> dict[str, TableBytes]:
    changed = counts.changed.rows(slots)
    return {
        f"{name}/values": table_bytes(counts.values[:slots], changed),
        f"{name}/touched": table_bytes(counts.touched[:slots], changed),
    }


def _take_counts(counts: FadingCounts, tensors: Tensors, name: str) -> None:
    values, touched = tensors[f"{name}/values"], tensors[f"{name}/touched"]
    counts.reach(len(touched))
    counts.values[: len(touched)] = values
    counts.touched[: len(touched)] = touched

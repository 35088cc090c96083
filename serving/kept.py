"""A user's past as the cache keeps it: the state it was read from, what a version made of it."""

from __future__ import annotations

from torch import Tensor

from contracts.sequence import StoredSequence, unpack_header
from contracts.settings import ModelSettings
from model.batches import encode_events
from model.incremental import Codes, PastStates, window_begin
from model.recommender import Recommender
from model.together import LONGEST, read_together
from model.vocabulary import UNKNOWN

_OVERHEAD = 1_000  # bytes of Python objects around an entry's tensors


class Kept:
    """A user's sequence value, its codes ``(4, n)``, and what a version made of its window."""

    def __init__(self, stored: StoredSequence, version: int, recommender: Recommender) -> None:
        self.raw = stored.raw
        self.partition = stored.partition
        self.version = self.oldest = version
        self.settings = recommender.settings
        self.codes = encode_events(stored.decode().history, recommender.vocabulary)
        self.number, self.offset, _ = unpack_header(stored.raw)
        self.begin = 0
        self.states: PastStates | None = None
        self.vector: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        states = 0 if self.states is None else self.states.bytes
        return states + self.codes.nbytes + len(self.raw) + _OVERHEAD

    def window(self, begin: int) -> Codes:
        """Codes of the events from the one with number ``begin`` on."""
        return self.codes[:, begin - self.number + self.codes.shape[1] :]


def capacity(settings: ModelSettings, length: int) -> int:
    """Events that the network sees at most: one token is START, and ``length`` are known."""
    return min(settings.max_length - 1, length)


def first_seen(kept: Kept, length: int, settings: ModelSettings) -> int:
    """The number of the first event that the network sees of it."""
    first: int = kept.number - kept.codes.shape[1]
    return max(first, window_begin(kept.number, capacity(settings, length)))


def move_on(kept: Kept, stored: StoredSequence, codes: Codes) -> None:
    """Follow the state to ``stored``, whose events are the last of ``codes``."""
    kept.raw = stored.raw
    kept.number, kept.offset, count = unpack_header(stored.raw)
    kept.codes = codes[:, -min(count, stored.length) :]


def build(kept: Kept, recommender: Recommender, length: int) -> None:
    """Read the window from its beginning; nothing where the version knows none of the items."""
    kept.begin = first_seen(kept, length, recommender.settings)
    kept.states = kept.vector = None
    if (kept.codes[0] != UNKNOWN).any():
        kept.states = PastStates(recommender.settings.max_length)
        kept.vector = kept.states.extend(recommender.network, kept.window(kept.begin))


def build_together(pasts: list[Kept], recommender: Recommender, lengths: list[int]) -> None:
    """As :func:`build` of each, in one run of the network where they are short."""
    joined = []
    for kept, length in zip(pasts, lengths, strict=True):
        kept.begin = first_seen(kept, length, recommender.settings)
        known = (kept.codes[0] != UNKNOWN).any()
        if known and kept.window(kept.begin).shape[1] <= LONGEST:
            joined.append(kept)
        else:
            build(kept, recommender, length)
    if joined:
        windows = [kept.window(kept.begin) for kept in joined]
        made = read_together(recommender.network, windows, recommender.settings.max_length)
        for kept, (states, vector) in zip(joined, made, strict=True):
            kept.states, kept.vector = states, vector


def vector_of(recommender: Recommender, codes: Codes, first: int, length: int) -> Tensor:
    """The vector of ``codes``, whose first event has number ``first``, without keeping anything."""
    number = first + codes.shape[1]
    begin = max(first, window_begin(number, capacity(recommender.settings, length)))
    states = PastStates(recommender.settings.max_length)
    return states.extend(recommender.network, codes[:, begin - first :])

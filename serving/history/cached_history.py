"""What is kept of one user's past: its codes, and what one version made of the window of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from everfresh.contracts.sequence import StoredSequence, unpack_header
from everfresh.contracts.settings import ModelSettings
from everfresh.model.inference.incremental import Codes, PastStates, window_begin
from everfresh.model.inference.together import read_together
from everfresh.model.network.batches import encode_entries
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.versions.holder import Served

_OVERHEAD = 1_000  # bytes of Python objects around an entry's tensors


class KeptPast:
    """A user's sequence value, its codes ``(4, n)``, and what a version made of its window.

    ``version`` encoded it; ``oldest`` is the oldest version that read part of the states.
    """

    def __init__(self, stored: StoredSequence, served: Served) -> None:
        vocabulary = served.recommender.vocabulary
        self.raw = stored.raw
        self.partition = stored.partition
        self.version = self.oldest = served.version
        self.epoch = served.epoch
        self.settings = served.recommender.settings
        self.codes: Codes = encode_entries(stored.entries(), stored.actions, vocabulary)
        self.number, self.offset, _ = unpack_header(stored.raw)
        self.begin = begin_of(self, stored.length, self.settings)
        self.states: PastStates | None = None
        self.vector: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        states = 0 if self.states is None else self.states.bytes
        return states + self.codes.nbytes + len(self.raw) + _OVERHEAD

    @property
    def known(self) -> bool:
        """Whether the version knows any of the items; else there is nothing to read."""
        return bool((self.codes[0] != UNKNOWN).any())

    @property
    def tokens(self) -> int:
        """What the network sees of it, START included."""
        return 1 + self.number - self.begin

    def window(self, begin: int) -> Codes:
        """Codes of the events from the one with number ``begin`` on."""
        return self.codes[:, begin - self.number + self.codes.shape[1] :]

    def move(self, stored: StoredSequence, codes: Codes) -> None:
        """Stand for a newer value, whose events and older ones have these codes."""
        self.raw = stored.raw
        self.number, self.offset, count = unpack_header(stored.raw)
        self.codes = codes[:, -min(count, stored.length) :]


def capacity(settings: ModelSettings, length: int) -> int:
    """Events that the network sees at most: one token is START, and ``length`` are known."""
    return min(settings.max_length - 1, length)


def begin_of(kept: KeptPast, length: int, settings: ModelSettings) -> int:
    """The number of the first event in the window."""
    first: int = kept.number - kept.codes.shape[1]
    return max(first, window_begin(kept.number, capacity(settings, length)))


def build(kept: KeptPast, recommender: Recommender, length: int) -> None:
    """Read the window from its beginning; nothing where the version knows none of the items."""
    kept.begin = begin_of(kept, length, recommender.settings)
    kept.states = kept.vector = None
    if kept.known:
        kept.states = PastStates(recommender.settings.max_length)
        kept.vector = kept.states.extend(recommender.network, kept.window(kept.begin))


def build_together(pasts: Sequence[KeptPast], recommender: Recommender) -> None:
    """The same of several that hold nothing yet, in one run of the network."""
    known = [one for one in pasts if one.known]
    if len(known) == 1:  # perhaps a long one, which goes through in pieces
        known[0].states = PastStates(recommender.settings.max_length)
        known[0].vector = known[0].states.extend(
            recommender.network, known[0].window(known[0].begin)
        )
    elif known:
        windows = [one.window(one.begin) for one in known]
        read = read_together(recommender.network, windows, recommender.settings.max_length)
        for one, (states, vector) in zip(known, read, strict=True):
            one.states, one.vector = states, vector

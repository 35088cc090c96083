"""One user's history as one version has read it, kept between requests."""

from __future__ import annotations

from collections.abc import Sequence

from everfresh.contracts.sequence import StoredSequence, unpack_header
from everfresh.contracts.settings import ModelSettings
from everfresh.model.inference.batched import read_batched
from everfresh.model.inference.incremental import Codes, HistoryStates, window_begin
from everfresh.model.inference.retrieval import UserVector
from everfresh.model.network.batches import encode_entries
from everfresh.model.recommender import Recommender
from everfresh.model.vocabulary.vocabulary import UNKNOWN
from everfresh.serving.versions.holder import LoadedVersion

_OVERHEAD = 1_000  # bytes of Python objects around an entry's tensors


class CachedHistory:
    """A user's sequence value, its codes ``(4, n)``, and what ``version`` computed of them."""

    def __init__(self, stored: StoredSequence, loaded: LoadedVersion) -> None:
        recommender = loaded.recommender
        self.raw = stored.raw
        self.partition = stored.partition
        self.version = loaded.version
        self.codes: Codes = encode_entries(stored.entries(), stored.actions, recommender.vocabulary)
        self.number, self.offset, _ = unpack_header(stored.raw)
        self.begin = begin_of(self, stored.length, recommender.settings)
        self.states: HistoryStates | None = None
        self.vector: UserVector | None = None

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


def begin_of(cached: CachedHistory, length: int, settings: ModelSettings) -> int:
    """The number of the first event in the window."""
    first: int = cached.number - cached.codes.shape[1]
    return max(first, window_begin(cached.number, capacity(settings, length)))


def build(cached: CachedHistory, recommender: Recommender, length: int) -> None:
    """Read the window from its beginning; nothing where the version knows none of the items."""
    cached.begin = begin_of(cached, length, recommender.settings)
    cached.states = cached.vector = None
    if cached.known:
        _read_window(cached, recommender)


def build_batched(histories: Sequence[CachedHistory], recommender: Recommender) -> None:
    """The same of several that hold nothing yet, in one run of the network."""
    known = [history for history in histories if history.known]
    if len(known) == 1:  # perhaps a long one, which goes through in pieces
        _read_window(known[0], recommender)
    elif known:
        windows = [history.window(history.begin) for history in known]
        read = read_batched(recommender.network, windows, recommender.settings.max_length)
        for history, (states, vector) in zip(known, read, strict=True):
            history.states, history.vector = states, vector.numpy()


def _read_window(cached: CachedHistory, recommender: Recommender) -> None:
    cached.states = HistoryStates(recommender.settings.max_length)
    codes = cached.window(cached.begin)
    cached.vector = cached.states.extend(recommender.network, codes).numpy()

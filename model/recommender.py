"""The recommender: a network and the vocabulary of its rows, which travel together (law 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.event import ItemId
from everfresh.contracts.manifest import VOCABULARY_FILE, Rows, weights_file
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import ModelSettings
from everfresh.contracts.window import DecodedExample
from everfresh.model.catalogue import LEAST_NORM, Catalogue, best_rows
from everfresh.model.content.content_map import CONTENT, ContentMap
from everfresh.model.index import inverted_lists as lists
from everfresh.model.metrics import Firsts, Ranks
from everfresh.model.negatives import Negatives, clashes
from everfresh.model.network.batches import (
    Batch,
    derive_seed,
    encode_events,
    encode_example,
    query_batch,
)
from everfresh.model.network.hstu import HSTU
from everfresh.model.network.losses import sampled_cross_entropy
from everfresh.model.ranking import (
    Asked,
    Beside,
    KeptUp,
    Ranking,
    Scorer,
    log_order_of,
    rank_ways,
)
from everfresh.model.ranks.rank_blocks import Heard
from everfresh.model.row_changes import RowChanges, require_names
from everfresh.model.score_tables import ScoreTables
from everfresh.model.short_rows import decode_change, encode_rows, view_rows
from everfresh.model.trends.contexts import Sightings
from everfresh.model.trends.counts import Floats, Ints
from everfresh.model.trends.table import TrendTable, column_of
from everfresh.model.trends.tail import Tail
from everfresh.model.trends.trends import PREFIX, Trends
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import UNKNOWN, Vocabulary
from everfresh.model.weights import (
    encode_tensors,
    fill_rows,
    grow_rows,
    overwrite,
    parse_settings,
    require_shapes,
)

_SEED = "seed"
_BESIDE = (PREFIX, lists.PREFIX, CONTENT)
NETWORK, VERSION, TAIL = "network", "version", "tail"
"""Ways to rank: without trends, with those of the version, with those that are kept up."""


class Recommender:
    """Owned by a trainer, which calls everything, or shared by a replica's threads.

    ``recommend`` and ``ranks`` change nothing and may run in many threads at once, as long as
    nobody trains the same object. Equal weights, vocabularies, inputs and threads: equal bits.

    ``rows`` says what files keep item rows as; here they are float32, and keeping loses nothing.
    """

    rows: Rows = "float32"
    _tables_of: type[ScoreTables] = ScoreTables

    def __init__(self, settings: ModelSettings, vocabulary: Vocabulary, seed: int) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.seed = seed
        self.network = HSTU(settings)
        self.network.initialise(torch.Generator().manual_seed(derive_seed(seed)))
        self._shared = False
        self.trends, self.index = Trends(), lists.InvertedLists()
        self.content = ContentMap()
        self.unlinked: Ints = np.zeros(0, np.int64)
        self.grow()

    def parameters(self) -> list[nn.Parameter]:
        """All trained weights, in a fixed order."""
        return list(self.network.parameters())

    def to(self, device: str) -> Recommender:
        """Move all weights; before an optimizer is built over them. Returns itself."""
        self.network.to(device)
        self._resize()
        return self

    def admit(
        self, examples: Sequence[DecodedExample], label: int = 0, limits: Limits | None = None
    ) -> int:
        """Count the targets' items and actions, grow the tables; return how many items got a row.

        Called once per window, before its batches are made. Contexts were targets before.
        """
        for example in examples:
            self.vocabulary.admit_actions(target.action for target in example.targets)
        items, users = sighted(examples)
        admitted = self.vocabulary.admit(items, label, users, limits)
        self.grow()
        return admitted

    def expire(self, before: int, limits: Limits | None = None) -> list[int]:
        """Free the rows of items last sighted before window ``before``; return those rows.

        A freed row is at once what an untrained one is, for the item that gets it next; until then
        it cannot be ranked or recommended. Rows whose trends named it are then ``unlinked``.
        """
        self.unlinked = np.zeros(0, np.int64)
        freed = self.vocabulary.expire(before, limits)
        if freed:
            fill_rows(self.network.items.data, freed, self.seed)
            self.network.item_bias.data[freed] = 0.0
            self.unlinked = self.trends.forget(np.asarray(freed))
            self._tables.items_changed()
        return freed

    def item_tables(self) -> list[nn.Parameter]:
        """The weights whose first dimension is the vocabulary's rows."""
        return [self.network.items, self.network.item_bias]

    def grow(self) -> None:
        """Give every admitted item its row; old rows stay bit-equal."""
        begin = self.network.items.shape[0]
        self._resize()
        fill_rows(self.network.items.data, range(begin, self.vocabulary.rows), self.seed)

    def _resize(self) -> None:
        for table in self.item_tables():
            grow_rows(table, self.vocabulary.rows)
        self.trends.grow(self.vocabulary.rows)
        self.index.grow(self.vocabulary.rows)
        self._renew_tables()

    def loss(self, batch: Batch) -> Tensor:
        """Softmax cross-entropy, the mean over the batch's targets that have a row; a scalar.

        Over all items where there are at most ``negatives``. Otherwise over the target and
        ``negatives`` items drawn evenly, without repeats, for the whole batch; their part of the
        sum is scaled up to stand for all items (importance sampling, Bengio and Senécal 2003), so
        that scores mean the same either way. Draws from torch's global generator. Zero where no
        target has a row. Gradients of the item tables are in ``network.reads``.
        """
        self._tables.weights_changed()
        batch = batch.to(self.network.device)
        # Drawn first: the same seed gives the same negatives, whatever the batch's size.
        drawn, each = self.negatives.draw()
        drawn = drawn.to(self.network.device)
        at = torch.nonzero(batch.predicts & (batch.targets != UNKNOWN)).squeeze(1)
        users = self.network(batch, self.settings.dropout)[at]
        targets = batch.targets[at]
        # Over a large catalogue a step must not touch every item, only these.
        mine, sample = self._rows_table(targets), self._rows_table(drawn)
        own = (users * mine.vectors).sum(-1) + mine.bias
        bias = sample.bias + each.to(sample.bias)
        losses = sampled_cross_entropy(users, own, sample.vectors, bias, clashes(drawn, targets))
        return losses / max(1, len(targets))

    def logits(self, users: Tensor, rows: Tensor) -> Tensor:
        """Scores ``(n, len(rows))`` of these rows for user vectors ``(n, dim)``; with gradients."""
        return self._rows_table(rows).scores(users)

    def _rows_table(self, rows: Tensor) -> Catalogue:
        """The same of these rows alone, which hold items."""
        network = self.network
        own = network.reads.read("item_bias", network.item_bias, rows)
        bias = own + network.popularity * self._tables.counted()[0][rows]
        vectors = network.reads.read("items", network.items, rows)
        vectors = functional.normalize(vectors, dim=-1, eps=LEAST_NORM)
        return Catalogue(vectors / self.settings.temperature, bias)

    def catalogue(self) -> Catalogue:
        """The item table as the network scores it; kept until the weights change."""
        return self._tables.catalogue()

    def start(self) -> Tensor:
        """The user vector ``(dim,)`` before any event; kept until the weights change."""
        return self._tables.start()

    def trend_table(self) -> TrendTable:
        """What the trends add to the network's scores; kept until they change."""
        return self._tables.trend_table()

    def tail(self) -> Tail:
        """A tail of its own, for events after the last one that was learnt."""
        return self._tables.tail()

    def learn_trends(self, events: Sightings) -> None:
        """See :class:`Trends`."""
        self.trends.learn(events)
        self._tables.trends_changed()

    def weigh_trends(self, weights: Floats) -> None:
        """See :class:`Trends`."""
        self.trends.weigh(weights)
        self._tables.trends_changed()

    def ranks(
        self,
        examples: Sequence[DecodedExample],
        exclude_seen: bool,
        asked: Firsts | None = None,
    ) -> Ranks:
        """The rank of every target given the events before it, by what the version holds; of those
        that are ``asked`` alone, if not of all."""
        return self.ranks_by([VERSION], examples, exclude_seen, asked=asked)[0]

    def ranks_by(
        self,
        ways: Sequence[str | float],
        examples: Sequence[DecodedExample],
        exclude_seen: bool,
        heard: Heard | None = None,
        beside: Beside | None = None,
        asked: Firsts | None = None,
        barred: Sequence[ItemId] = (),
    ) -> list[Ranks]:
        """The same by each of ``ways``, at hardly more cost; see ``model.ranking``.

        :data:`NETWORK` leaves out the trends, to show what they bring. :data:`TAIL` keeps them up
        within the examples, as replicas do between versions.

        A half-life, in events, is a way too: by counts alone, kept up as those of the first way.

        Where only some targets are ``asked``, trends are kept up by all, and these are ranked.
        Items that are ``barred`` are no candidates; a target among them is a ``MISS``.
        """
        catalogue = self.catalogue()
        if barred:
            rows = self.vocabulary.rows_of(barred)
            catalogue = catalogue.without([row for row in rows if row != UNKNOWN])
        encoded = [encode_example(example, self.vocabulary) for example in examples]
        known: dict[str | float, Ranking] = {NETWORK: Ranking(None)}
        known[VERSION] = Ranking(self.trend_table())
        if TAIL in ways:
            known[TAIL] = Ranking(KeptUp(self.tail(), log_order_of(examples)))
        for half_life in ways:
            if not isinstance(half_life, str):
                known[half_life] = Ranking(known[ways[0]].counted, column_of(half_life))
        return rank_ways(
            Scorer(self.network, catalogue, None),
            [known[way] for way in ways],
            Asked(encoded, self.settings.max_length, exclude_seen, asked),
            heard,
            beside,
        )

    def recommend(
        self, history: Sequence[Interaction], k: int, exclude: Collection[ItemId] = ()
    ) -> tuple[list[ItemId], list[float]]:
        """The ``k`` best items for a user with this history (oldest first), best first.

        Fewer than ``k`` where the catalogue without ``exclude`` has fewer. Scores are logits:
        they order the items of one answer and mean nothing across answers.
        """
        barred = [row for item in exclude if (row := self.vocabulary.row(item)) != UNKNOWN]
        batch = query_batch(history, self.vocabulary, self.settings.max_length)
        codes = encode_events(history, self.vocabulary)
        with torch.inference_mode():
            user = self.network(batch)[-1]
            scores = self.catalogue().item_scores(user[None])
            at = int(codes[3, -1]) if history else 0
            self.trend_table().pool_one(scores[0].numpy(), codes[0], at)
            rows, best = best_rows(scores[0], k, barred)
        return [self.vocabulary.item(row) for row in rows], best

    def take(self, weights: RowChanges, vocabulary: RowChanges) -> None:
        """Become the next version, at the cost of the rows that changed: bit-equal to loading it.

        Nobody else may be using this one. After ``CorruptVersion`` (misfits) it is of no more use.
        """
        parameters, file = dict(self.network.named_parameters()), weights_file(self.rows)
        require_names(weights, parameters.keys() | self.side_tensors().keys() | {_SEED}, file)
        if int(weights[_SEED].data) != self.seed:
            raise CorruptVersion(f"{file}: of another seed; take another version")
        items = decode_change(weights["items"], self.rows, file)
        self._own()
        self.vocabulary.take(vocabulary)
        for name, weight in parameters.items():
            overwrite(weight, items if name == "items" else weights[name], name)
        if any(table.shape[0] != self.vocabulary.rows for table in self.item_tables()):
            raise CorruptVersion(f"{file}: not as many rows as {VOCABULARY_FILE}")
        self.trends.take(weights, self.vocabulary.rows, file)
        self.index.take(weights, self.vocabulary.rows, file)
        self.content.take(weights, file)
        self._tables.rows_taken(items)

    def tensors(self) -> dict[str, Tensor]:
        """What the file of weights holds; views, but for shorter rows."""
        items = encode_rows(self.network.items.detach(), self.rows)
        network = {**self.network.state_dict(), "items": items}
        return {**network, **self.side_tensors(), _SEED: torch.tensor(self.seed)}

    def side_tensors(self) -> dict[str, Tensor]:
        """Those that stand beside the network: trends, an index, what contents say."""
        beside = {**self.trends.tensors(), **self.index.tensors()}
        return {**beside, **self.content.tensors()}

    def save(self) -> dict[str, bytes]:
        """The file of weights and the vocabulary; equal recommenders give equal bytes."""
        return {
            weights_file(self.rows): encode_tensors(self.tensors()),
            VOCABULARY_FILE: self.vocabulary.encode(),
        }

    @classmethod
    def load(
        cls,
        settings: Mapping[str, Any],
        files: Mapping[str, bytes | memoryview],
        *,
        share: bool = False,
        rows: Rows = "float32",
    ) -> Recommender:
        """The inverse of :meth:`save`; ``CorruptVersion`` where the parts do not fit.

        With ``share`` the weights stay where ``files`` are, until :meth:`take` makes copies.
        """
        file = weights_file(rows)
        tensors, parsed = view_rows(files[file], rows, _SEED), parse_settings(settings)
        vocabulary = Vocabulary.decode(bytes(files[VOCABULARY_FILE]))
        seed = int(tensors.pop(_SEED))
        others = {n: tensors.pop(n) for n in [*tensors] if n.startswith(_BESIDE)}
        require_shapes(tensors, parsed, vocabulary.rows, file)
        recommender = cls(parsed, Vocabulary(), seed)
        recommender.rows, recommender.vocabulary = rows, vocabulary
        recommender.trends = Trends.of(others, vocabulary.rows, file)
        recommender.index = lists.InvertedLists.of(others, vocabulary.rows, file)
        recommender.content = ContentMap.of(others, parsed.dim, file)
        recommender._adopt(tensors)
        if not share:
            recommender._own()
        return recommender

    def _adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Use these as weights, where they are."""
        for name, weight in self.network.named_parameters():
            weight.data = tensors[name]
        self._shared = True
        self._renew_tables()

    def _renew_tables(self) -> None:
        self._tables = self._tables_of(
            self.network, self.vocabulary, self.trends, self.settings.temperature
        )
        self.negatives = Negatives(self.vocabulary, self.settings.negatives)

    def _own(self) -> None:
        """Copy weights that others may be using."""
        if self._shared:
            for weight in self.parameters():
                weight.data = weight.data.clone()
            self.trends.own()
            self.index.own()
            self.content.own()
            self._shared = False

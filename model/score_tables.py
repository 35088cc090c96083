"""What scores items, made of weights, vocabulary and trends when first asked for, and kept."""

from __future__ import annotations

import torch
from torch import Tensor

from everfresh.model.catalogue import Catalogue, factors_of
from everfresh.model.network.batches import query_batch
from everfresh.model.network.hstu import HSTU
from everfresh.model.row_changes import RowChange
from everfresh.model.trends.counts import Floats
from everfresh.model.trends.table import TrendTable
from everfresh.model.trends.tail import Tail
from everfresh.model.trends.trends import Trends
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.model.weights import lengthen


class ScoreTables:
    """Of one recommender, which says what of it has changed."""

    def __init__(
        self, network: HSTU, vocabulary: Vocabulary, trends: Trends, temperature: float
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._trends = trends
        self._temperature = temperature
        self._catalogue: Catalogue | None = None
        self._next_factors: Tensor | None = None
        self._shares: tuple[Tensor, Tensor] | None = None
        self._trend_table: TrendTable | None = None
        self._start: Tensor | None = None

    def weights_changed(self) -> None:
        """Any of the network's."""
        self._catalogue = self._next_factors = self._start = None

    def trends_changed(self) -> None:
        """Counts that fade, or what they weigh."""
        self._trend_table = None

    def items_changed(self) -> None:
        """Rows or sightings of the vocabulary, and anything else."""
        self._shares = None
        self.weights_changed()
        self.trends_changed()

    def rows_taken(self, change: RowChange) -> None:
        """All but the item rows that ``change`` leaves as they are: their factors stay."""
        kept = self._next_factors if self._catalogue is None else self._catalogue.factors
        self.items_changed()
        if kept is not None and change.rows is not None:
            rows = torch.from_numpy(change.rows)
            with torch.inference_mode():
                self._next_factors = lengthen(kept, self._vocabulary.rows)
                renewed = factors_of(self._network.items[rows], self._temperature)
                self._next_factors.index_copy_(0, rows, renewed)

    def catalogue(self) -> Catalogue:
        """The item table as the network scores it.

        Item vectors are scored by direction over the temperature; the bias is a learnt one, plus
        popularity. The counted share makes a new item score like its popularity at once; its
        weight and the item's own bias are learnt. A free row scores minus infinity: it is no
        answer and no negative.
        """
        kept = self._catalogue
        if kept is None:
            with torch.inference_mode():
                items, known = self._network.items.detach(), self._next_factors
                factors = factors_of(items, self._temperature) if known is None else known
                kept = Catalogue(items, self._score_bias(), factors)
            self._catalogue = kept
        return kept

    def start(self) -> Tensor:
        """The user vector ``(dim,)`` before any event."""
        kept = self._start
        if kept is None:
            with torch.inference_mode():
                kept = self._network(query_batch([], self._vocabulary, 1))[-1]
            self._start = kept
        return kept

    def trend_table(self) -> TrendTable:
        """What the trends add to the network's scores."""
        kept = self._trend_table
        if kept is None:
            kept = self._trend_table = self._trends.table(self._log_shares())
        return kept

    def tail(self) -> Tail:
        """A new one, before its first event."""
        return Tail(self._trends, self._log_shares())

    def counted(self) -> tuple[Tensor, Tensor]:
        """Log share of each row in all sightings, and the rows of items."""
        kept = self._shares
        if kept is None:
            counts = torch.from_numpy(self._vocabulary.counts).to(self._network.items) + 1.0
            shares = torch.log(counts / counts.sum()).detach()
            rows = torch.from_numpy(self._vocabulary.item_rows()).to(shares.device)
            kept = self._shares = shares, rows
        return kept

    def _log_shares(self) -> Floats:
        shares: Floats = self.counted()[0].float().cpu().numpy()
        return shares

    def _score_bias(self) -> Tensor:
        bias = self._network.item_bias + self._network.popularity * self.counted()[0]
        free = torch.from_numpy(self._vocabulary.free_rows()).to(bias.device)
        return bias.index_fill(0, free, -torch.inf)

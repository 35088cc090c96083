"""A window before anyone learns from it: ranked by every contender, scored, described (law 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import TrainerSettings
from everfresh.contracts.window import DecodedExample, TrainingWindow
from everfresh.model.metrics import Ranks, only
from everfresh.model.opponents.opponents import POPULARITY
from everfresh.model.opponents.popularity import FadingPopularity
from everfresh.model.vocabulary.admission import Limits, sighted
from everfresh.model.vocabulary.vocabulary import Vocabulary
from everfresh.trainer.scoring.judged import asked_targets, of_targets
from everfresh.trainer.scoring.paired import Paired, pair
from everfresh.trainer.scoring.prequential import (
    COUNTS,
    LIVE,
    OWN,
    Contender,
    Served,
    flatten,
    rank_window,
    score_table,
)
from everfresh.trainer.scoring.target_groups import by_age, by_place, taught_targets
from everfresh.trainer.scoring.window_measures import Surprised, window_measures
from everfresh.trainer.scoring.window_summary import WindowSummary, summarize
from everfresh.trainer.windows.backlog import PlannedWindow


@dataclass(frozen=True)
class ScoredWindow:
    """``ranks`` are of the targets of the ``judged`` examples by contender: the window's, or a
    sample of its targets (``trainer.scoring.judged``). ``scores`` are as a manifest keeps them.

    ``own`` are the live model's without its tail, where it has one; the gate judges versions by
    them, not by what replicas count beside. ``counts`` are by its counts alone, which know no
    user. Both are ``None`` before the first version.
    ``flood`` are the items that will get no row, since the window brings too many; none mostly.
    """

    window: TrainingWindow
    ranks: Mapping[str, Ranks]
    scores: dict[str, float]
    summary: WindowSummary
    own: Ranks | None
    counts: Ranks | None
    judged: Sequence[DecodedExample]
    flood: frozenset[ItemId] = frozenset()

    @property
    def behind(self) -> Paired | None:
        """What the live model loses against its own counts; ``None`` before the first version.

        Neither is fresher, whatever was held before: both have the same counts and the same tail.
        """
        if self.counts is None:
            return None
        return pair(self.ranks[LIVE], self.counts, self.judged)


def score_planned(
    planned: PlannedWindow,
    contenders: Mapping[str, Contender],
    vocabulary: Vocabulary,
    newest: int | None,
    tuning: TrainerSettings,
) -> ScoredWindow:
    """Rank with the version that serves, its frozen ancestor and the opponents.

    ``vocabulary`` and ``newest``, the label of the window trained last, say what is fresh.
    """
    window = planned.window
    groups = {**by_place(window.examples), **by_age(window.examples, vocabulary, newest)}
    taught = taught_targets(window.examples)
    groups = {name: mask & taught for name, mask in groups.items()}
    summary = summarize(window, groups, planned.labels, planned.share)
    flood = vocabulary.left_waiting(*sighted(window.examples), Limits.of(tuning))
    asked = asked_targets(window, len(vocabulary), tuning.seed)
    live, popularity = contenders.get(LIVE), contenders.get(POPULARITY)
    measures = window_measures(window.examples)
    if isinstance(live, Served) and isinstance(popularity, FadingPopularity):
        surprised = Surprised(live.model, popularity, live.ways)
        with_ears = {**contenders, LIVE: surprised}
        ranks = rank_window(window, with_ears, tuning.exclude_seen, flood, asked)
        measures |= surprised.measures()
    else:
        ranks = rank_window(window, contenders, tuning.exclude_seen, flood, asked)
    own, counts = ranks.pop(OWN, ranks.get(LIVE)), ranks.pop(COUNTS, None)
    judged, among = only(window.examples, asked), of_targets(window.examples, asked)
    number = 0 if asked is None else int(taught[among].sum())
    summary = msgspec.structs.replace(summary, measures=measures, ranked=number)
    taught, groups = taught[among], {name: mask[among] for name, mask in groups.items()}
    told = {name: ranked[taught] for name, ranked in ranks.items()}
    table = score_table(told, {name: mask[taught] for name, mask in groups.items()})
    return ScoredWindow(window, ranks, flatten(table), summary, own, counts, judged, flood)

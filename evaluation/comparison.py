"""Test, then train (law 4) over windows at hand: several strategies, the same code as live.

Every contender goes through all windows on its own: it ranks a window's targets, then learns them
as the trainer does (``trainer.learning.training``). Its scores are emitted window by window, and at
the end the margins of all over one of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.errors import RunError, SettingsError
from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import TrainingWindow
from everfresh.evaluation.bootstrap import MARGINS, mean_with_interval, metric_values
from everfresh.evaluation.results import GroupScore, Margin, ResultLine, WindowScore
from everfresh.model.cold_items import WithCold
from everfresh.model.content.features import Features
from everfresh.model.metrics import Mask, Ranks, scores
from everfresh.model.opponents.opponents import OPPONENTS, Opponents
from everfresh.model.recommender import NETWORK, TAIL, VERSION
from everfresh.trainer.learning.content_steps import (
    contents_of_new,
    renew_contents,
    weigh_contents,
)
from everfresh.trainer.learning.learner import fresh_learner
from everfresh.trainer.learning.strategies import STRATEGIES
from everfresh.trainer.learning.training import broken, train_window
from everfresh.trainer.scoring.target_groups import (
    FRESH,
    OLDER,
    Groups,
    by_place,
    taught_targets,
)
from everfresh.trainer.windows.curation import curated_examples
from everfresh.trainer.windows.refusals import without_refusals

KS = (10, 20)
"""Lengths of the lists that are measured; with one true item, recall at k is the hit rate at k."""

FROZEN = "frozen"
BEST = "best"
"""To be held against: the opponent that is best by the metric in question."""

Emit = Callable[[ResultLine], None]
Contents = Callable[[int], Mapping[ItemId, Features]]
"""What is known of items at a time (UTC ms), the newest first."""

NOTHING: Contents = lambda end_ms: {}  # noqa: E731 - a value of that type


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What all contenders share: the windows, the groups of their targets, whose they are.

    Every contender goes through the windows once more, so they can be iterated several times.
    Targets are those that are ``taught``; refusals are in no group, and nobody is ranked on them.
    ``ends`` are the last event times of each window, UTC ms.
    """

    windows: Iterable[TrainingWindow]
    ends: Sequence[int]
    taught: Sequence[Mask]
    groups: Sequence[Groups]
    users: npt.NDArray[np.int64]
    exclude_seen: bool
    contents: Contents

    @classmethod
    def of(
        cls,
        windows: Iterable[TrainingWindow],
        *,
        exclude_seen: bool,
        contents: Contents = NOTHING,
        on_events: Callable[[int], object] = lambda events: None,
    ) -> Comparison:
        """A target is fresh where the window before it was the first to bring its item.

        None is in windows 0 and 1: to window 1 every item that is known at all is that young, so
        its targets say nothing of items that are new among older ones, and would outweigh the rest.
        Older ones, which a window before that has brought, are in none of them either.
        ``users`` numbers the user of every target of every window but the first. ``on_events``
        hears after each window how many events it has seen.

        ``SettingsError`` where there is nothing to be tested on after the first window.
        """
        born: dict[object, int] = {}
        numbers: dict[object, int] = {}
        groups: list[Groups] = []
        users = array("q")
        ends: list[int] = []
        taught: list[Mask] = []
        seen = 0
        for at, window in enumerate(windows):
            ends.append(max(target.time for each in window.examples for target in each.targets))
            taught.append(taught_targets(window.examples))
            pairs = [
                (example.user, target.item)
                for example in window.examples
                for target in example.targets
            ]
            ages = np.array([at - born.setdefault(item, at) for _, item in pairs])
            told = at > 1
            by_age: dict[str, Mask] = {FRESH: told & (ages == 1), OLDER: told & (ages > 1)}
            masks = {**by_place(window.examples), **by_age}
            groups.append({name: mask[taught[at]] for name, mask in masks.items()})
            if at:
                shown = itertools.compress(pairs, taught[at])
                users.extend(numbers.setdefault(user, len(numbers)) for user, _ in shown)
            seen += len(pairs)
            on_events(seen)
        if len(ends) < 2:
            raise SettingsError(
                f"all of it is {len(ends)} window ({seen:,} events); at least two are needed, one "
                "to learn and one to be tested on: ask for more or shorter windows"
            )
        if not users:
            raise SettingsError(
                "no event after the first window can be ranked: all are refusals, by "
                "trainer.refusals; name fewer types there"
            )
        of_whom = np.frombuffer(users, dtype=np.int64)
        return cls(windows, ends, taught, groups, of_whom, exclude_seen, contents)


def compare(
    comparison: Comparison,
    names: Sequence[str],
    settings: Settings,
    emit: Emit,
    against: str = FROZEN,
) -> None:
    """Run every named strategy and the opponents, then emit margins over ``against``.

    ``SettingsError`` for an unknown name, or where ``against`` is none of those that run; where
    frozen does not run, and no other was asked for, no margins are emitted.
    """
    chosen = {name: strategy_settings(settings, name) for name in names}
    if against not in (*chosen, *OPPONENTS, FROZEN, BEST):
        raise SettingsError(
            f"no contender {against!r} to hold others against; there run "
            f"{', '.join((*chosen, *OPPONENTS))}: choose one of them, or {BEST} for the best of "
            f"{', '.join(OPPONENTS)}, or add it to the strategies"
        )
    ranks: dict[str, Ranks] = {}
    for name, own in chosen.items():
        ranks |= _run_strategy(comparison, name, own, emit)
    ranks |= _run_opponents(comparison, emit)
    if against == BEST or against in ranks:
        _emit_margins(comparison, ranks, against, settings.trainer.seed, emit)


def _emit_margins(
    comparison: Comparison, ranks: Mapping[str, Ranks], against: str, seed: int, emit: Emit
) -> None:
    """What each gains over ``against``, target by target."""
    users = len(np.unique(comparison.users))
    for metric in MARGINS:
        sums = {name: metric_values(of, metric).sum() for name, of in ranks.items()}
        over = max(OPPONENTS, key=sums.__getitem__) if against == BEST else against
        held_against = metric_values(ranks[over], metric)
        for name, of in ranks.items():
            if name != over:
                gained = metric_values(of, metric) - held_against
                interval = mean_with_interval(gained, comparison.users, seed)
                emit(Margin(name, metric, *interval, users, over))


def strategy_settings(settings: Settings, name: str) -> Settings:
    """``replay`` or, with the choice of exemplars behind a colon, ``replay:herding``."""
    strategy, _, choice = name.partition(":")
    if strategy not in STRATEGIES or choice not in ("", "random", "herding", "loss"):
        raise SettingsError(
            f"no strategy {name!r}; there are {', '.join(STRATEGIES)}, and :herding or :loss "
            "may follow replay and distill"
        )
    changes = {"strategy": strategy} | ({"replay_choice": choice} if choice else {})
    tuning = settings.trainer.model_copy(update=changes)
    return settings.model_copy(update={"trainer": tuning})


def network_of(name: str) -> str:
    """What a strategy's network is called without its trends: an ablation, which costs no training
    of its own."""
    return f"{name} (network)"


def _run_strategy(
    comparison: Comparison, name: str, settings: Settings, emit: Emit
) -> dict[str, Ranks]:
    """Ranks of the model and, where it learns trends, of its network alone.

    One that learns answers as replicas would with it: its trends are kept up within a window.
    """
    learner = fresh_learner(settings)
    network, alone = learner.network, network_of(name)
    ways = {name: VERSION}
    if learner.strategy.passes(1):
        ways = {name: TAIL if settings.serving.tail else VERSION, alone: NETWORK}
    ranked: dict[str, list[Ranks]] = {each: [] for each in ways}
    told: list[WindowScore] = []
    for at, window in enumerate(comparison.windows):
        known = comparison.contents(comparison.ends[at])
        if at:
            found = WithCold(network.recommender, known).ranks_by(
                list(ways.values()), window.examples, comparison.exclude_seen
            )
            for ranks, of_window in zip(ranked.values(), found, strict=True):
                ranks.append(of_window[comparison.taught[at]])
        began = time.process_time()
        offset = weigh_contents(network.recommender, window.examples, known, settings, at)
        new = contents_of_new(network.recommender, window.examples, known.get)
        part = _learnt(window, settings)
        outcome = train_window(learner.task(part, settings, at, window.examples, new))
        if known and learner.strategy.passes(at):
            renew_contents(network.recommender, known.get, settings, at, offset)
        if why := broken(network, outcome):
            raise RunError(f"{name} broke in window {at}: {why}; lower trainer.learning_rate")
        learner.strategy.remember(network, part, at)
        train_s = time.process_time() - began
        emit(_score(comparison, name, at, ranked[name], train_s, outcome.tokens))
        if alone in ranked:
            told.append(_score(comparison, alone, at, ranked[alone], 0.0, 0))
    for line in told:
        emit(line)
    return {each: _concatenated(ranks) for each, ranks in ranked.items()}


def _learnt(window: TrainingWindow, settings: Settings) -> TrainingWindow:
    """The window without what ``trainer.curate`` leaves unlearnt; all of it is scored."""
    if not settings.trainer.curate:
        return window
    return msgspec.structs.replace(
        window, examples=curated_examples(window.examples, window.examples)[0]
    )


def _run_opponents(comparison: Comparison, emit: Emit) -> dict[str, Ranks]:
    """All of them, since they learn over one vocabulary; told one after another."""
    opponents = Opponents()
    ranked: dict[str, list[Ranks]] = {name: [] for name in OPPONENTS}
    told: dict[str, list[WindowScore]] = {name: [] for name in OPPONENTS}
    for at, window in enumerate(comparison.windows):
        if at:
            for name, opponent in opponents.contenders().items():
                ranks = opponent.ranks(window.examples, comparison.exclude_seen)
                ranked[name].append(ranks[comparison.taught[at]])
        train_s = dict.fromkeys(OPPONENTS, 0.0)
        counted = without_refusals(window.examples)
        steps = opponents.steps(counted, window.label, None, comparison.exclude_seen)
        for name, step in steps:
            began = time.process_time()
            step()
            train_s[name] += time.process_time() - began
        for name in OPPONENTS:
            told[name].append(_score(comparison, name, at, ranked[name], train_s[name], 0))
    for lines in told.values():
        for line in lines:
            emit(line)
    return {name: _concatenated(of) for name, of in ranked.items()}


def _score(
    comparison: Comparison, name: str, at: int, ranked: list[Ranks], train_s: float, tokens: int
) -> WindowScore:
    ranks = ranked[-1] if at else np.zeros(0, np.int64)
    groups = {
        group: GroupScore(int(mask.sum()), scores(ranks[mask], KS) if mask.any() else {})
        for group, mask in (comparison.groups[at] if at else {}).items()
    }
    fresh = groups.get(FRESH, GroupScore(0, {}))
    return WindowScore(
        name,
        at,
        len(comparison.ends),
        int(comparison.taught[at].sum()),
        fresh.events,
        scores(ranks, KS) if at else {},
        fresh.scores,
        train_s,
        tokens,
        groups,
    )


def _concatenated(ranked: list[Ranks]) -> Ranks:
    return np.concatenate(ranked) if ranked else np.zeros(0, dtype=np.int64)

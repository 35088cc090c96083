"""A candidate: trained in its parent's place, checked against it, and made ready to publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from everfresh.contracts.event import ItemId
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.safetensors import VersionFile
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.inference.indexing import renew_index
from everfresh.model.network.batches import derive_seed
from everfresh.trainer.checkpoint import candidate_manifest, encode_files
from everfresh.trainer.contents import UNKNOWN, KnownContents
from everfresh.trainer.gate.candidate import Judged, judge_candidate, measure_parent
from everfresh.trainer.gate.memory import GateMemory
from everfresh.trainer.learning.content_steps import (
    contents_of_new,
    renew_contents,
    weigh_contents,
)
from everfresh.trainer.learning.learner import remember
from everfresh.trainer.learning.network import TrainingOutcome
from everfresh.trainer.learning.training import TrainWindow, broken
from everfresh.trainer.lineage import Lineage
from everfresh.trainer.scoring.window_scores import ScoredWindow
from everfresh.trainer.windows.assemble import Progress
from everfresh.trainer.windows.holdout import HoldoutSplit, hold_out

_INDEX = 10


@dataclass(frozen=True)
class Candidate:
    """The learner's network after training; ``refused`` says why it must not be published."""

    split: HoldoutSplit
    outcome: TrainingOutcome
    judged: Judged


def train_candidate(
    lineage: Lineage,
    scored: ScoredWindow,
    examples: list[DecodedExample],
    settings: Settings,
    train: TrainWindow,
    before_check: Callable[[], None],
    known: KnownContents = UNKNOWN,
) -> Candidate:
    """Hold out of ``examples``, train on the rest, and measure what came of it.

    ``before_check`` is called between training and measuring. ``known`` are the contents of items.
    """
    learner, network = lineage.learner, lineage.learner.network
    part = msgspec.structs.replace(scored.window, examples=without_flood(examples, scored.flood))
    split = hold_out(part, learner.gate.held, settings.gate, settings.trainer.seed)
    trusted = lineage.parent and learner.gate != GateMemory()
    measured = measure_parent(network.recommender, split) if trusted else None
    sighted, number = scored.window.examples, lineage.number
    if known and learner.strategy.passes(number):
        examples, cold = split.window.examples, known.newest
        offset = weigh_contents(network.recommender, examples, cold, settings, number)
        new = contents_of_new(network.recommender, sighted, known.find)
        outcome = train(learner.task(split.window, settings, number, sighted, new))
        renew_contents(network.recommender, known.find, settings, number, offset)
    else:
        outcome = train(learner.task(split.window, settings, number, sighted))
    network.touch(outcome.touched)
    before_check()
    judged = Judged(broken(network, outcome))
    if judged.refused is None and measured is not None:
        profile = learner.gate.profile
        judged = judge_candidate(network.recommender, measured, settings.gate, profile)
    return Candidate(split, outcome, judged)


def without_flood(examples: list[DecodedExample], flood: frozenset[ItemId]) -> list[DecodedExample]:
    """Those with anything to learn: targets that get no row teach nothing, and would cost as much
    as others, fill the memories and thin out what candidates are measured on."""
    if not flood:
        return examples
    return [
        example
        for example in examples
        if any(target.item not in flood for target in example.targets)
    ]


def take_in(
    lineage: Lineage, scored: ScoredWindow, candidate: Candidate, settings: Settings
) -> None:
    """Let memories take in what was trained; what they hold goes into the checkpoint."""
    learner, parent, split = lineage.learner, lineage.parent, candidate.split
    remember(learner, split.window, lineage.number, scored.window)
    learner.gate = learner.gate.after(
        scored.window,
        scored.behind,
        candidate.judged.past,
        split.held,
        parent.version if parent else None,
        settings.gate,
    )


def encode_candidate(
    lineage: Lineage, scored: ScoredWindow, progress: Progress, settings: Settings
) -> tuple[WeightManifest, dict[str, VersionFile]]:
    """Manifest and files of a version with ``progress``; its number comes as it is written."""
    learner, rows = lineage.learner, settings.weights.rows
    renew_index(
        learner.network.recommender,
        learner.network.touched_rows(),
        scored.window.examples,
        settings.weights.index_from,
        settings.weights.index_recall,
        derive_seed(settings.trainer.seed, lineage.number, _INDEX),
    )
    files = encode_files(learner, lineage.frozen, scored.summary, rows)
    left = lineage.pointer.left if lineage.pointer else 0
    manifest = candidate_manifest(
        lineage.parent, progress, learner, scored.summary, scored.scores, left, rows
    )
    ours = {"flood": len(scored.flood), "tuning": lineage.tuning}
    return msgspec.structs.replace(manifest, **ours), files

"""The manifest is the trainer's checkpoint (law 5): what a version's files hold, and back.

    model.safetensors      weights                         } read by replicas too
    vocabulary.safetensors  items, rows, counts             }
    served.safetensors     the weights with shorter rows, for replicas alone (``weights.rows``)
    optimizer.safetensors  moments and step counts; of item rows as of their last steps
    opponents.safetensors  what the opponents have counted
    trainer.msgpack        memories of strategy and gate, the frozen version

Random state is not stored: every draw is seeded by the version's place in its lineage.
The version's own number is in no file, so equal learning gives equal files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from everfresh.contracts.errors import CorruptVersion, SettingsError
from everfresh.contracts.foreign import MAP, advice, newer
from everfresh.contracts.manifest import (
    FORMAT,
    MODEL_FILES,
    NEWER_FORMAT,
    Rows,
    WeightFile,
    WeightManifest,
)
from everfresh.contracts.ports import WeightStore
from everfresh.contracts.safetensors import VersionFile
from everfresh.contracts.settings import ModelSettings, Settings
from everfresh.model.opponents.opponent_file import (
    decode_opponents,
    opponent_tables,
    opponents_of_counts,
)
from everfresh.model.opponents.opponents import Opponents
from everfresh.model.optimizer import optimizer_tables
from everfresh.model.recommender import Recommender
from everfresh.model.version_files import version_tables
from everfresh.trainer.gate.memory import GateMemory
from everfresh.trainer.learning.learner import Learner
from everfresh.trainer.learning.network import Network, restored_network
from everfresh.trainer.learning.strategies import build_strategy
from everfresh.trainer.learning.strategies.base import Strategy
from everfresh.trainer.scoring.window_summary import WindowSummary
from everfresh.trainer.windows.assemble import Progress

OPTIMIZER_FILE = "optimizer.safetensors"
MEMORY_FILE = "trainer.msgpack"
OPPONENTS_FILE = "opponents.safetensors"
MEMORY_FORMAT = 4
COUNTS_FORMAT = 3
"""Of versions that held counts of all time, of popularity and last-item Markov, in the memory."""
_OLDER = "run the release that wrote it, or use an empty weight store"


class TrainerMemory(msgspec.Struct, frozen=True):
    """``trainer.msgpack``. ``frozen`` is ``None`` in a lineage's first version: it is itself.

    ``memory`` is what the strategy remembers, as it encoded it, and ``kind`` says of which sort.
    ``popularity`` and ``markov`` are of :data:`COUNTS_FORMAT` alone.
    """

    format: int
    frozen: int | None
    kind: str
    memory: bytes
    window: WindowSummary
    gate: GateMemory
    popularity: bytes = b""
    markov: bytes = b""


class Checkpoint(msgspec.Struct, frozen=True):
    """A version read back: everything a trainer needs to go on from it."""

    manifest: WeightManifest
    learner: Learner
    frozen: int
    window: WindowSummary

    @property
    def progress(self) -> Progress:
        """Where to read on."""
        return progress_of(self.manifest)


_MEMORY: msgspec.msgpack.Decoder[TrainerMemory] = msgspec.msgpack.Decoder(TrainerMemory)


def progress_of(manifest: WeightManifest) -> Progress:
    """How far the log had been consumed when this version was trained."""
    where = (manifest.trained_through, manifest.windows_read)
    return Progress(manifest.label, *where, manifest.cut)


def encode_files(
    learner: Learner, frozen: int | None, window: WindowSummary, rows: Rows
) -> dict[str, VersionFile]:
    """The files of a version: tables are the learner's own, until it learns on.

    What is gone on from is exact, whatever ``rows`` replicas read.
    """
    memory = TrainerMemory(
        MEMORY_FORMAT,
        frozen,
        learner.strategy.memory_kind,
        learner.strategy.encode(),
        window,
        learner.gate,
    )
    network = learner.network
    touched = network.touched_rows()
    return {
        **version_tables(network.recommender, rows, touched),
        OPTIMIZER_FILE: optimizer_tables(network.optimizer, network.recommender, touched),
        OPPONENTS_FILE: opponent_tables(learner.opponents),
        MEMORY_FILE: msgspec.msgpack.encode(memory),
    }


def restore(store: WeightStore, manifest: WeightManifest, settings: Settings) -> Checkpoint:
    """The learner of a version, from its files alone. ``CorruptVersion`` where one does not fit."""
    memory = read_memory(store, manifest)
    learner = Learner(
        restore_network(store, manifest, settings),
        _restore_strategy(manifest, memory, settings),
        _opponents(store, manifest, memory),
        memory.gate,
    )
    frozen = manifest.version if memory.frozen is None else memory.frozen
    return Checkpoint(manifest, learner, frozen, memory.window)


def restore_opponents(store: WeightStore, manifest: WeightManifest) -> Opponents:
    """The opponents of a version alone."""
    return _opponents(store, manifest, read_memory(store, manifest))


def _opponents(store: WeightStore, manifest: WeightManifest, memory: TrainerMemory) -> Opponents:
    if memory.format == COUNTS_FORMAT:
        return opponents_of_counts(memory.popularity, memory.markov)
    return decode_opponents(store.read(manifest, OPPONENTS_FILE))


def read_memory(store: WeightStore, manifest: WeightManifest) -> TrainerMemory:
    """What a version holds beside tables. ``CorruptVersion`` where it cannot be read."""
    raw = store.read(manifest, MEMORY_FILE)
    try:
        memory = _MEMORY.decode(raw)
    except msgspec.DecodeError as error:
        why = newer(raw, (MEMORY_FORMAT,), MAP) or (
            f"cannot be read ({error}); roll back to another version, or use an empty weight store"
        )
        raise CorruptVersion(f"version {manifest.version}: {MEMORY_FILE}: {why}") from None
    if memory.format == COUNTS_FORMAT:
        # How far ahead of popularity the live model was says nothing of one that fades.
        return msgspec.structs.replace(memory, gate=memory.gate.without_profile())
    if memory.format != MEMORY_FORMAT:
        raise CorruptVersion(
            f"version {manifest.version}: {MEMORY_FILE} has format {memory.format}, expected "
            f"{MEMORY_FORMAT}; {advice(memory.format, (MEMORY_FORMAT,), _OLDER)}"
        )
    return memory


def restore_network(store: WeightStore, manifest: WeightManifest, settings: Settings) -> Network:
    """Weights and optimizer state of a version, to train on."""
    _refuse_other_model(manifest, settings)
    state = store.read(manifest, OPTIMIZER_FILE)
    return restored_network(load_recommender(store, manifest), state, settings)


def _restore_strategy(
    manifest: WeightManifest, memory: TrainerMemory, settings: Settings
) -> Strategy:
    strategy = build_strategy(settings)
    if memory.kind != strategy.memory_kind:
        raise SettingsError(
            f"version {manifest.version} remembers {memory.kind!r}, trainer.strategy="
            f"{settings.trainer.strategy} expects {strategy.memory_kind!r}; set the strategy back, "
            "or name an empty folder in weights.url"
        )
    strategy.restore(memory.memory)
    return strategy


def load_recommender(store: WeightStore, manifest: WeightManifest) -> Recommender:
    """Weights and vocabulary of a version, to rank with."""
    files = {name: store.read(manifest, name) for name in MODEL_FILES}
    return Recommender.load(manifest.model, files)


def load_served(store: WeightStore, manifest: WeightManifest) -> Recommender:
    """The same as replicas hold it, who may read shorter rows: what is scored is what serves."""
    files = {name: store.read(manifest, name) for name in manifest.replica_files}
    return Recommender.load(manifest.model, files, rows=manifest.rows)


def same_training(
    stored: WeightManifest, wanted: WeightManifest, files: Sequence[WeightFile]
) -> bool:
    """Whether ``stored`` is ``wanted`` with these ``files``, number and time aside.

    True for a version whose trainer was killed before it moved the pointer, trained again.
    """
    storage: dict[str, Any] = {"delta_of": None, "depth": 0, "stored": [], "chained": 0}
    blank = {"version": 0, "created_ms": 0, "files": [], **storage}
    if msgspec.structs.replace(stored, **blank) != msgspec.structs.replace(wanted, **blank):
        return False
    return {file.name: file for file in files} == {file.name: file for file in stored.files}


def candidate_manifest(
    parent: WeightManifest | None,
    progress: Progress,
    learner: Learner,
    window: WindowSummary,
    scores: Mapping[str, float],
    left: int,
    rows: Rows,
) -> WeightManifest:
    """The manifest of a candidate; its number, time and files are filled in as it is written.

    ``events`` counts what this lineage was trained on in all; ``left`` is the pointer's.
    """
    recommender = learner.network.recommender
    beyond = recommender.trends.clock or recommender.index.tensors() or recommender.content
    return WeightManifest(
        format=NEWER_FORMAT if beyond else FORMAT,
        version=0,
        parent=parent.version if parent else None,
        label=progress.label,
        created_ms=0,
        trained_through=progress.through,
        windows_read=progress.reads,
        files=[],
        model=recommender.settings.model_dump(mode="json"),
        items=len(recommender.vocabulary),
        events=window.events + (parent.events if parent else 0),
        scores=dict(scores),
        left=left,
        merged=window.merged,
        sampled=window.sampled,
        rows=rows,
        measures=window.measures,
        cut=progress.cut,
        refused=window.refused,
    )


def _refuse_other_model(manifest: WeightManifest, settings: Settings) -> None:
    wanted = settings.model.model_dump(mode="json")
    # What a version of an older build does not name had its default's value.
    had = ModelSettings().model_dump(mode="json") | manifest.model
    differing = [name for name in wanted if had[name] != wanted[name]]
    if differing:
        built = ", ".join(f"model.{name}={had[name]}" for name in differing)
        asked = ", ".join(f"{name}={wanted[name]}" for name in differing)
        raise SettingsError(
            f"version {manifest.version} was built with {built}, the settings say {asked}; "
            "set them back, or name an empty folder in weights.url"
        )

"""Versions of the weights: manifest, which is the trainer's checkpoint (law 5), and pointer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

FORMAT = 2
NEWER_FORMAT = 4
"""Of a version with trends that count what visits begin with and followings by those of their item,
an index, or a map of what items are: tensors that a reader of 2 refuses, and those of the trends a
reader of 3."""
READABLE = (1, FORMAT, 3, NEWER_FORMAT)
"""Formats of manifests that are read; before 2 every file had the sha256 of its whole content,
before 4 trends had fewer counts."""
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"
MODEL_FILES = (WEIGHTS_FILE, VOCABULARY_FILE)
"""The model as it was trained; the trainer goes on from these files."""
SERVED_FILE = "served.safetensors"
"""The weights with shorter item rows, which replicas read (``weights.rows``)."""
Rows = Literal["float32", "bf16", "int8"]
"""Number formats in which replicas read item rows."""
DELTA = ".delta"
"""End of the name of a file that holds the difference from the parent's (law 6)."""


class WeightFile(msgspec.Struct, frozen=True):
    """One file of a version folder: safetensors, msgpack or JSON, never pickle.

    Its content is named by its ``sha256``, or, where it was handed over as tables, by its ``root``
    (``adapters.weights.row_digests``); the other one is empty.
    """

    name: str
    sha256: str
    bytes: int
    root: str = ""

    @property
    def digest(self) -> str:
        """What names its content, either way."""
        return self.root or self.sha256


class WeightManifest(msgspec.Struct, frozen=True):
    """Describes one version. Read by replicas, by the trainer when it restarts, and by operators.

    Written by the trainer as the last file of a version's folder: with it the version exists, and
    a folder without one is none.

    ``trained_through`` maps events partition to the offset after the last trained event, and
    ``windows_read`` maps windows partition to the next offset to read: a trainer resumes from
    these alone. ``parent`` is ``None`` for the first version, ``label`` (the last trained window)
    for a version trained on nothing. ``model`` holds the network settings it was built with.
    ``scores`` are the prequential scores of the window that trained it, measured on its parent
    before training (law 4).

    ``files`` are the contents, whole. How they are kept is the store's choice: where ``delta_of``
    names a version, ``stored`` lists what the folder holds instead, ``NAME.delta`` for a file kept
    as its difference from that version's (law 6), and ``depth`` says how many deltas lie between
    this version and a full snapshot. A snapshot has depth 0: all its files are there whole, and
    beside them the deltas of what replicas read, for those that have its parent. ``chained`` are
    the bytes that this folder and those back to the snapshot hold beside it.

    ``left`` is 0 except in the first version after a rollback, which turned away from the versions
    between ``parent`` and ``left``. ``merged`` are the labels of the windows it was trained on,
    empty for a single one; ``sampled`` is the share of their examples that was trained. ``flood``
    counts items that got no row because the window brought too many (``trainer.new_items``).

    ``tuning`` are settings of the line that differ from the trainer's own, such as
    ``trainer.learning_rate``: training goes on by them. ``origin`` names the track and version
    that this one was copied from, such as ``default:57``; empty for one that was trained here.
    ``diverted`` counts targets of its window that were left to other tracks (law 3), ``curated``
    those that were left unlearnt (``trainer.curate``); ``events`` does not count them, nor the
    refusals that ``refused`` counts (``trainer.refusals``). ``cut`` numbers the window among those
    of its label (``contracts.window``).
    ``measures`` are of its window, before it was learnt (see ``contracts.report``).
    """

    format: int
    version: int
    parent: int | None
    label: int | None
    created_ms: int
    trained_through: dict[int, int]
    windows_read: dict[int, int]
    files: list[WeightFile]
    model: dict[str, Any]
    items: int
    events: int
    scores: dict[str, float]
    delta_of: int | None = None
    depth: int = 0
    stored: list[WeightFile] = []
    left: int = 0
    merged: list[int] = []
    sampled: float = 1.0
    rows: Rows = "float32"
    flood: int = 0
    chained: int = 0
    tuning: dict[str, Any] = {}
    origin: str = ""
    diverted: int = 0
    cut: int = 0
    refused: int = 0
    measures: dict[str, float] = {}
    curated: int = 0

    @property
    def replica_files(self) -> tuple[str, str]:
        """Names of the weights and the vocabulary that replicas read."""
        return weights_file(self.rows), VOCABULARY_FILE

    def delta(self, name: str) -> WeightFile | None:
        """The file that holds ``name`` as its difference from that of ``delta_of``, if any does."""
        return next((file for file in self.stored if file.name == name + DELTA), None)


def weights_file(rows: Rows) -> str:
    """The file that holds weights with such item rows."""
    return WEIGHTS_FILE if rows == "float32" else SERVED_FILE


class Pointer(msgspec.Struct, frozen=True):
    """Which version is current. Ordered by ``(epoch, version)``: the greater one wins (law 8).

    Written by the trainer when it publishes or rolls back, and by ``everfresh rollback``; read by
    replicas and by the trainer. No pointer means that nothing was published yet.

    A publish keeps the epoch; a rollback raises it, so a racing publish of an older epoch loses.
    A rollback also names in ``left`` the newest version it turns away from: what that one was
    trained on is not trained again. 0 in a pointer that was published. A promotion raises the epoch
    too, and names in ``promoted`` the track whose version it made one of this line.
    """

    epoch: int
    version: int
    left: int = 0
    promoted: str = ""

    def after(self, other: Pointer) -> bool:
        """Whether this one wins over ``other``; equal ones do not, whatever their ``left`` is."""
        return (self.epoch, self.version) > (other.epoch, other.version)


def rolled_back(current: Pointer, version: int) -> Pointer:
    """The pointer of a rollback from ``current`` to ``version``."""
    return Pointer(current.epoch + 1, version, max(current.version, current.left))


class Rejected(msgspec.Struct, frozen=True):
    """A window that the gate held. Written by the trainer beside the versions; read by operators.

    ``parent`` is the version that stayed current (``None`` before the first), ``ranges`` are the
    window's ``[start, end)`` per events partition. ``files`` are those of its candidate; there are
    none where the window was held before it was trained.
    """

    label: int
    parent: int | None
    reason: str
    at_ms: int
    events: int
    ranges: dict[int, tuple[int, int]]
    scores: dict[str, float]
    files: list[WeightFile] = []
    cut: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What a trainer that is behind trains next (``trainer.backlog``).

    Written by the trainer before it follows the plan, and read by it when it restarts. Without one
    it trains the next window alone. It holds for a trainer at ``version`` that has consumed all
    windows up to ``after`` (``None``: none yet): it takes those up to ``last`` as one, and trains
    the ``share`` of their examples. ``after_cut`` and ``last_cut`` belong to these labels. A
    version has several plans where windows were held: a trainer that restarts from it takes and
    holds them again.
    """

    version: int
    after: int | None
    last: int
    share: float
    after_cut: int = 0
    last_cut: int = 0

    @property
    def after_place(self) -> tuple[int, int] | None:
        """After which window it holds."""
        return None if self.after is None else (self.after, self.after_cut)


def with_plan(plans: Iterable[Plan], plan: Plan) -> list[Plan]:
    """The plans of its version, ``plan`` as the last one."""
    others = [
        other
        for other in plans
        if other.version == plan.version and other.after_place != plan.after_place
    ]
    return [*others, plan]


def encode_manifest(manifest: WeightManifest) -> bytes:
    """Indented JSON: operators read manifests."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)


def decode_manifest(raw: bytes) -> WeightManifest:
    """The inverse of :func:`encode_manifest`; ``msgspec.DecodeError`` on foreign bytes."""
    return msgspec.json.decode(raw, type=WeightManifest)

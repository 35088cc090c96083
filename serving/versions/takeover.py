"""The next version, made of the one before the last: only the rows that changed are touched.

A replica holds two versions: the live one, and the one that was live before it, with which nobody
answers any more. Deltas lead from that one over the live one to the next (law 6). They are written
over its rows, so that the cost of a version follows from what changed in it. Each delta is verified
by its own sha256 in the manifest, and names the sha256 of both whole files. It is read once and
kept until it has been written over both. The result is then shown to be what the manifest names:
by its roots, in which the rows that changed are hashed anew (``serving.versions.verification``), or
where a manifest has a sha256 of whole files, at every full snapshot on the way.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from everfresh.adapters.weights.deltas import (
    DeltaName,
    Overwrites,
    TensorChange,
    read_changes,
)
from everfresh.adapters.weights.version_folder import named_file
from everfresh.contracts.errors import CorruptVersion, WeightsError
from everfresh.contracts.manifest import WeightManifest
from everfresh.contracts.ports import WeightStore
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChange, RowChanges
from everfresh.serving.versions.holder import LoadedVersion
from everfresh.serving.versions.verification import Step, Verification

_LOG = logging.getLogger(__name__)
_LONGEST = 16
"""Versions that are gone through at most; beyond that a whole one costs less."""
_REST_S = 0.003
"""After each: requests, and whatever brings them, get the processor then."""
_KINDS = {"F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "u1", "BF16": "<u2"}


Load = Callable[[WeightManifest, WeightStore], Recommender]
"""Builds what answers from a version, whole; any error means that it cannot be served."""


class _Spare(msgspec.Struct, frozen=True):
    """A version that is live no more. ``in_use`` is dead once no request answers with it."""

    in_use: weakref.ref[LoadedVersion]
    recommender: Recommender
    manifest: WeightManifest


class Takeover:
    """A :data:`Load` for one follower, whose thread alone calls it.

    ``by_deltas`` counts versions made that way; any other is loaded whole.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._spare: _Spare | None = None
        self._newest: WeightManifest | None = None
        self._verified = Verification()
        self._last: Step | None = None  # each delta is written over both, one version apart
        self.by_deltas = 0

    def __call__(self, manifest: WeightManifest, store: WeightStore) -> Recommender:
        """The version of ``manifest``, for this caller alone."""
        # Whatever comes of it, the spare is used up: half overwritten it is no version at all.
        spare, self._spare = self._spare, None
        made = None if spare is None else self._overwritten(spare, manifest, store)
        del spare  # its memory, before another is loaded
        if made is None:
            made = self._load(manifest, store)
        else:
            self.by_deltas += 1
        self._newest = manifest
        return made

    def retire(self, loaded: LoadedVersion) -> None:
        """Keep what another version has just replaced."""
        self._spare = _Spare(weakref.ref(loaded), loaded.recommender, loaded.manifest)

    def _overwritten(
        self, spare: _Spare, manifest: WeightManifest, store: WeightStore
    ) -> Recommender | None:
        """``None`` where no deltas lead there, or a request still answers with the spare."""
        if spare.in_use() is not None:
            return None
        try:
            path = self._path(spare.manifest, manifest, store)
            return spare.recommender if path and self._walk(spare, path, store) else None
        except WeightsError as error:
            _LOG.warning("version %s is loaded whole: %s", manifest.version, error)
            return None

    def _walk(self, spare: _Spare, path: Sequence[WeightManifest], store: WeightStore) -> bool:
        """Make the last version of ``path`` of the spare; False where a delta is missing."""
        parent, steps = spare.manifest, list[Step]()
        for child in path:
            step = self._last
            if step is None or (step.parent, step.child) != (parent, child):
                step = _read_step(parent, child, store)
                time.sleep(_REST_S)
            if step is None:
                return False
            self._last = step
            spare.recommender.take(step.weights, step.vocabulary)
            parent = child
            steps.append(step)
            time.sleep(_REST_S)
        self._verified.require(spare.recommender, path[-1], steps)
        return True

    def _path(
        self, base: WeightManifest, goal: WeightManifest, store: WeightStore
    ) -> list[WeightManifest] | None:
        """The versions after ``base`` up to ``goal``, if each is kept as a delta of the last."""
        at, path = goal, list[WeightManifest]()
        while at.version > base.version:
            if at.delta_of is None or _differ(at, base) or len(path) == _LONGEST:
                return None
            path.append(at)
            at = self._manifest(at.delta_of, base, store)
        return path[::-1] if path and at == base else None

    def _manifest(self, version: int, base: WeightManifest, store: WeightStore) -> WeightManifest:
        for known in (base, self._newest):
            if known is not None and known.version == version:
                return known
        return store.manifest(version)


def _read_step(parent: WeightManifest, child: WeightManifest, store: WeightStore) -> Step | None:
    """``None`` where a delta is missing."""
    overwrites: list[Overwrites] = []
    for name in child.replica_files:
        delta = store.delta(child, name)
        if delta is None:
            return None
        hashes = named_file(parent, name).digest, named_file(child, name).digest
        overwrites.append(
            read_changes(DeltaName(name, parent.version, child.version), delta, hashes)
        )
    weights, vocabulary = overwrites
    headers = weights.header, vocabulary.header
    return Step(parent, child, headers, _row_changes(weights), _row_changes(vocabulary))


def _differ(version: WeightManifest, base: WeightManifest) -> bool:
    return (version.model, version.rows) != (base.model, base.rows)


def _row_changes(overwrites: Overwrites) -> RowChanges:
    return {name: _typed(change) for name, change in overwrites.changes.items()}


def _typed(change: TensorChange) -> RowChange:
    kind = _KINDS.get(change.dtype)
    if kind is None:
        raise CorruptVersion(f"tensors of {change.dtype} are not taken over row by row")
    rows = None if change.rows is None else change.rows.astype(np.int64)
    shape = change.shape if rows is None else (len(rows), *change.shape[1:])
    # A copy: bytes of a delta may lie at odd addresses, and are not to be written to.
    data = change.data.reshape(-1).copy().view(kind).reshape(shape)
    return RowChange(change.shape, rows, data)

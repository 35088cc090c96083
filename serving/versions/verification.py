"""What deltas made of a version is shown to be what the manifest names, at the cost of the rows.

The digests of one version are kept, at first made of all its rows. For the next one, rows that the
deltas brought are hashed anew where they now lie. A row that no delta names is as it was verified
before. Where a manifest names the sha256 of whole files, all is hashed, at full snapshots alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import torch

from everfresh.adapters.weights.deltas import content_sha256
from everfresh.adapters.weights.row_digests import FileDigests, Rows, beside
from everfresh.adapters.weights.version_folder import named_file
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import VOCABULARY_FILE, WeightManifest
from everfresh.contracts.safetensors import declared_places
from everfresh.model.recommender import Recommender
from everfresh.model.row_changes import RowChanges
from everfresh.model.version_files import served_tensors

_REST_S = 0.0002
"""After some leaves: requests get the processor then."""


class Step(msgspec.Struct, frozen=True):
    """What makes ``child`` of ``parent``, read and verified; ``headers`` are those of its files."""

    parent: WeightManifest
    child: WeightManifest
    headers: tuple[bytes, bytes]
    weights: RowChanges
    vocabulary: RowChanges


class Verification:
    """For one thread, which verifies one version after another."""

    def __init__(self) -> None:
        self._of: WeightManifest | None = None
        self._digests: dict[str, FileDigests] = {}

    def require(self, made: Recommender, goal: WeightManifest, steps: Sequence[Step]) -> None:
        """``CorruptVersion`` unless ``made``, where these steps ended, is the version ``goal``."""
        last = steps[-1]
        if not all(named_file(goal, name).root for name in goal.replica_files):
            if any(step.child.depth == 0 for step in steps):
                _require_hashes(made, goal, last.headers[0])
            return
        passed = [steps[0].parent, *(step.child for step in steps)]
        known = self._of is not None and self._of in passed
        # Half renewed they are of no version; all is hashed then.
        self._of = None
        if not known:
            self._digests = {name: FileDigests() for name in goal.replica_files}
        weights = _touched([step.weights for step in steps])
        vocabulary = _touched([step.vocabulary for step in steps])
        short = weights.get("items") if known else None
        if short is not None:
            place = declared_places(last.headers[0])["items"]
            short = beside(short, place.row_bytes, place.rows)
        tables = made.vocabulary.tables().tensors
        contents = (
            {name: _bytes(tensor) for name, tensor in served_tensors(made, short).items()},
            {name: table.data for name, table in tables.items()},
        )
        for name, header, data, touched in zip(
            goal.replica_files, last.headers, contents, (weights, vocabulary), strict=True
        ):
            digests = self._digests[name]
            digests.update(header, data, touched, lambda: time.sleep(_REST_S))
            _require_named(goal, name, "root", digests.root, named_file(goal, name).root)
        self._of = goal


def _touched(changes: Sequence[RowChanges]) -> Mapping[str, Rows | None]:
    """Rows that any of these brought; ``None`` where one brought a whole tensor."""
    touched: dict[str, Rows | None] = {}
    for name in changes[-1]:
        rows = [change[name].rows if name in change else None for change in changes]
        known = [each for each in rows if each is not None]
        touched[name] = np.unique(np.concatenate(known)) if len(known) == len(rows) else None
    return touched


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _require_hashes(recommender: Recommender, manifest: WeightManifest, header: bytes) -> None:
    """``CorruptVersion`` unless the whole contents are those that the manifest names."""
    tensors = {name: _bytes(tensor) for name, tensor in recommender.tensors().items()}
    hashes = {
        manifest.replica_files[0]: content_sha256(header, tensors),
        VOCABULARY_FILE: hashlib.sha256(recommender.vocabulary.encode()).hexdigest(),
    }
    for name, sha256 in hashes.items():
        _require_named(manifest, name, "sha256", sha256, named_file(manifest, name).sha256)


def _require_named(manifest: WeightManifest, name: str, kind: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise CorruptVersion(
            f"{name} of version {manifest.version} as its deltas made it has {kind} {found}; "
            f"{wanted} was expected"
        )

"""Which versions may be deleted: never one that a rollback, a live replica or a delta needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from everfresh.contracts.manifest import WeightManifest


def removable(
    manifests: Iterable[WeightManifest], current: int, keep: int, pinned: Collection[int | None]
) -> list[int]:
    """What is surplus of a store with ``current`` live, in an order in which it can be deleted.

    Of the live lineage, which is ``current`` and its ancestors, the last ``keep`` stay. Other
    versions, from which a rollback turned away or which never were live, stay for a while, should
    an operator want one back: until the lineage has grown by ``keep`` versions, the newest ``keep``
    of them. ``pinned`` versions stay, and so does every version down to the full snapshot that a
    kept one is a delta of. A delta comes before the version it is made from.
    """
    by_version = {manifest.version: manifest for manifest in manifests}
    lineage = _live_lineage(by_version, current, keep)
    if not lineage:  # it cannot be told what the lineage needs
        return []
    aside = sorted(
        version for version in by_version.keys() - set(lineage) if version > lineage[-1]
    )[-keep:]
    kept: set[int] = set()
    for version in {*lineage, *aside, *pinned} & by_version.keys():
        needed: int | None = version
        while needed is not None and needed not in kept:
            kept.add(needed)
            manifest = by_version.get(needed)
            needed = manifest.delta_of if manifest is not None and manifest.depth else None
    return sorted(by_version.keys() - kept, reverse=True)


def _live_lineage(by_version: Mapping[int, WeightManifest], current: int, keep: int) -> list[int]:
    """``current`` and its ancestors, newest first, ``keep`` at most, as far as they are there."""
    lineage: list[int] = []
    manifest = by_version.get(current)
    while manifest is not None and len(lineage) < keep:
        lineage.append(manifest.version)
        manifest = None if manifest.parent is None else by_version.get(manifest.parent)
    return lineage

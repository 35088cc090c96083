"""Which versions may be deleted: never one that a rollback, a live replica or a delta needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from contracts.manifest import WeightManifest


def removable(
    manifests: Iterable[WeightManifest], keep: int, pinned: Collection[int | None]
) -> list[int]:
    """Versions beyond the newest ``keep``, in an order in which they can be deleted.

    ``pinned`` versions stay, such as the pointer's; so does every version down to the full
    snapshot that a kept one is a delta of. A delta comes before the version it is made from.
    """
    by_version = {manifest.version: manifest for manifest in manifests}
    newest = sorted(by_version)[-keep:]
    kept: set[int] = set()
    for version in {*newest, *pinned} & by_version.keys():
        at: int | None = version
        while at is not None and at not in kept:
            kept.add(at)
            found = by_version.get(at)
            at = found.delta_of if found is not None and found.depth else None
    return sorted(by_version.keys() - kept, reverse=True)

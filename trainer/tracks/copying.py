"""A version copied from one track to another: how a track starts, and how it becomes the default.

A version keeps its number where a track starts from it, and every file its bytes. All that is
random in training is drawn from that number, so two tracks that start from one version with equal
settings reach the same versions, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from everfresh.contracts.errors import (
    SettingsError,
    StalePublish,
    TrackRefused,
    VersionNotFound,
    WeightsError,
)
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import NOTHING, Track, require_track_name, with_track
from everfresh.contracts.manifest import Pointer, WeightManifest
from everfresh.contracts.ports import TrackStore, TrainerStore
from everfresh.contracts.safetensors import VersionFile, table_file
from everfresh.contracts.settings import Settings
from everfresh.contracts.settings.tracks import tuned
from everfresh.trainer.checkpoint import MEMORY_FILE, read_memory, restore

_ATTEMPTS = 20
_AS_STORED: dict[str, Any] = {"delta_of": None, "depth": 0, "stored": [], "chained": 0}


def start_track(
    tracks: TrackStore,
    name: str,
    origin: tuple[str, int | None] | None,
    tuning: Mapping[str, Any],
    settings: Settings,
    now_ms: int,
    *,
    frozen: bool = False,
) -> Track:
    """Start a track from a version of another (``None``: its current one), or from nothing.

    It has the settings of that version's track, and those of ``tuning`` in their place. It is
    declared last: a start that was cut short has started nothing. ``TrackRefused`` where the name
    is taken or there is nothing to start from, ``SettingsError`` where training could not go on
    from that version by these settings.
    """
    require_track_name(name)
    declared = tracks.declared()
    if name in declared:
        raise TrackRefused(
            f"track {name} was started before and is {declared[name].state}; choose another name, "
            f"or take that one away with `everfresh tracks end {name} --delete`"
        )
    if origin is None:
        tuned(settings, tuning)
        track = Track(name=name, tuning=dict(tuning), started=now_ms, changed=now_ms)
        with_track(declared, track)
        tracks.remove(name)
    else:
        source = tracks.store(origin[0])
        if origin[0] != DEFAULT and origin[0] not in declared:
            raise TrackRefused(
                f"there is no track {ascii(origin[0])[:80]} to start from; the tracks are: "
                f"{', '.join([DEFAULT, *sorted(declared)])}"
            )
        manifest = source.manifest(_version(source, *origin))
        whole = {**manifest.tuning, **tuning}
        _require_continuable(source, manifest, tuned(settings, whole))
        track = Track(
            name=name,
            tuning=whole,
            origin=f"{origin[0]}:{manifest.version}",
            state="frozen" if frozen else "live",
            started=now_ms,
            changed=now_ms,
        )
        with_track(declared, track)
        tracks.remove(name)  # what an attempt that was cut short has left
        _copy(source, manifest, tracks.store(name), track)
    tracks.declare(track)
    return track


def promote(tracks: TrackStore, name: str, now_ms: int) -> tuple[Pointer, Pointer]:
    """Make the track's current version the next one of the default track; the default's pointer
    before and after.

    The default track goes on from it by its settings and from its place in the log. The pointer's
    epoch is raised (law 8); a rollback undoes it. ``TrackRefused`` where either has no version.
    """
    source, target = tracks.store(name), tracks.store(DEFAULT)
    pointer = source.pointer()
    if pointer is None:
        raise TrackRefused(f"track {name} has no version yet; see `everfresh tracks list`")
    manifest = source.manifest(pointer.version)
    memory = read_memory(source, manifest)
    # Numbers of the track's own versions mean others there.
    gate = msgspec.structs.replace(memory.gate, probations=[])
    files = _files(source, manifest)
    files[MEMORY_FILE] = msgspec.msgpack.encode(
        msgspec.structs.replace(memory, frozen=None, gate=gate)
    )
    for _ in range(_ATTEMPTS):
        before = target.pointer()
        if before is None:
            raise TrackRefused("the default track has no version yet, so there is none to follow")
        number = max([before.version, *target.versions()]) + 1
        of_default: dict[str, Any] = {
            "version": number,
            "parent": before.version,
            "created_ms": now_ms,
            "left": 0,
            "origin": f"{name}:{manifest.version}",
        }
        after = Pointer(before.epoch + 1, number, promoted=name)
        try:
            target.write(msgspec.structs.replace(manifest, **_AS_STORED, **of_default), files)
            target.advance(after)
        except StalePublish:  # the trainer published in between
            continue
        return before, after
    raise WeightsError(
        f"the default track published {_ATTEMPTS} times while {name} was being promoted; stop the "
        "trainer, then promote it"
    )


def _require_continuable(
    source: TrainerStore, manifest: WeightManifest, settings: Settings
) -> None:
    """Read the version as a trainer would, so that whatever fails is told here."""
    try:
        restore(source, manifest, settings)
    except SettingsError as error:
        raise SettingsError(
            f"{str(error).partition(';')[0]}; a track keeps these settings of the version that it "
            "starts from: leave them out, or start from nothing (--from nothing)"
        ) from None


def _version(source: TrainerStore, track: str, version: int | None) -> int:
    pointer = source.pointer()
    if version is not None:
        return version
    if pointer is None:
        raise TrackRefused(
            f"track {track} has no version yet; start from {NOTHING}, or wait for its first one"
        )
    if pointer.left:
        raise TrackRefused(
            f"track {track} was rolled back to version {pointer.version} and passes over windows "
            f"that a track started from it would learn; start it after the next version, or name "
            f"the version: --from {track}:{pointer.version}"
        )
    return pointer.version


def _copy(source: TrainerStore, current: WeightManifest, target: TrainerStore, to: Track) -> None:
    """The version, and those that it is compared with: its frozen ancestor, and its probations'
    parents as far as they are there."""
    memory = read_memory(source, current)
    compared = {probation.parent for probation in memory.gate.probations}
    if memory.frozen is not None:
        compared.add(memory.frozen)
    for version in sorted(compared):
        try:
            _copy_one(source, source.manifest(version), target, to)
        except VersionNotFound:
            if version == memory.frozen:
                raise
    _copy_one(source, current, target, to)
    target.advance(Pointer(1, current.version))


def _copy_one(
    source: TrainerStore, manifest: WeightManifest, target: TrainerStore, to: Track
) -> None:
    origin = f"{to.origin.partition(':')[0]}:{manifest.version}"
    made = msgspec.structs.replace(manifest, **_AS_STORED, tuning=to.tuning, origin=origin)
    target.write(made, _files(source, manifest))


def _files(source: TrainerStore, manifest: WeightManifest) -> dict[str, VersionFile]:
    """As a trainer would hand them over: tables as tables, so that they have the same names."""
    files: dict[str, VersionFile] = {}
    for file in manifest.files:
        raw = source.read(manifest, file.name)
        files[file.name] = table_file(raw) if file.root else raw
    return files

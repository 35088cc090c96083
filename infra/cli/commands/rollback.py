"""``everfresh rollback``: makes an earlier version the current one, on every replica."""

from __future__ import annotations

from everfresh.adapters.weights.rollback import roll_back
from everfresh.adapters.weights.tracks import FsspecTracks, store_of
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.manifest import MODEL_FILES, Pointer
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.replicas import Figures, await_replicas
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.run.run_record import is_supervised


def run_rollback(settings: Settings, version: int, track: str = "") -> None:
    """Print what changed; ``WeightsError`` where that version cannot be current.

    Its files are read first, as a replica will, so that no pointer leads to a damaged version.
    With a run up in this home it waits until every replica has swapped, 15 s at most.
    """
    console = Terminal()
    store = store_of(FsspecTracks(settings), track)
    manifest = store.manifest(version)
    for name in {*MODEL_FILES, *manifest.replica_files}:
        store.read(manifest, name)
    before = store.pointer()
    now = roll_back(store, version)
    old = "none" if before is None else f"version {before.version}, epoch {before.epoch}"
    console.print(f"version {now.version} is the current one, epoch {now.epoch} (before: {old})")
    if not is_supervised(settings.home.resolve()):
        console.print("nothing is up in this home; replicas elsewhere swap when they next look")
        return
    live, replicas = wait_for_replicas(with_brokers(settings), now, track)
    console.print(f"live on {live} of {replicas} replicas")
    if live < replicas:
        console.print("the others swap as soon as they can; watch them with `everfresh status`")


def wait_for_replicas(settings: Settings, wanted: Pointer, track: str = "") -> tuple[int, int]:
    """How many replicas answer with ``wanted`` or what came after it, of how many."""
    return await_replicas(settings, lambda figures: _reached(_of_track(figures, track), wanted))


def _of_track(figures: Figures, track: str) -> Figures:
    """What a replica says of the track."""
    if track in ("", DEFAULT):
        return figures
    tracks = figures.get("tracks")
    said = tracks.get(track) if isinstance(tracks, dict) else None
    return said if isinstance(said, dict) else {}


def _reached(figures: Figures, wanted: Pointer) -> bool:
    epoch, version = figures.get("epoch"), figures.get("version")
    if not isinstance(epoch, int) or not isinstance(version, int):
        return False
    return (epoch, version) >= (wanted.epoch, wanted.version)

"""``everfresh tracks start``, ``freeze``, ``promote`` and ``end``: what is asked is checked, then
written to the weight store, where trainer and replicas find it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import RunError, TrackRefused, Unreachable
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import NOTHING, Track
from everfresh.contracts.settings import Settings
from everfresh.contracts.settings.tracks import parse_tuning, tuned
from everfresh.infra.cli.commands.rollback import wait_for_replicas
from everfresh.infra.cli.commands.tracks.show import replica_bytes
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.run.run_record import is_supervised


def run_start(
    settings: Settings, name: str, origin: str, changes: Sequence[str], *, frozen: bool
) -> None:
    """Print what was started; ``TrackRefused`` or ``SettingsError`` where that cannot be."""
    tracks, console = FsspecTracks(settings), Terminal()
    known = tracks.declared().get(name)
    if known is not None and known.state != "live" and not (origin or changes or frozen):
        _declare(tracks, known, "live")
        console.print(f"track {name} goes on from where it was {known.state}")
        return
    wanted = _origin(origin or DEFAULT)
    tuning = parse_tuning(tuned(settings, _tuning_of(tracks, wanted)), changes)
    if frozen and wanted is None:
        raise TrackRefused("a track from nothing has no version to stay at; leave out --frozen")
    from everfresh.trainer.tracks.copying import start_track  # noqa: PLC0415 - it loads torch

    track = start_track(tracks, name, wanted, tuning, settings, _now_ms(), frozen=frozen)
    console.print(f"track {name} is {track.state}, from {track.origin}{_with(track)}")
    held = replica_bytes(tracks.store(name))
    needs = "as much memory as the default track's" if held is None else f"{held / 1e6:,.1f} MB"
    console.print(
        f"each replica holds its versions ({needs}), and up to {settings.serving.cache_mb} MiB of "
        "its users' histories, as they ask (serving.cache_mb)"
    )
    console.print(f"name it in an experiment's arm to have it answer: --arm treatment@{name}")


def run_freeze(settings: Settings, name: str) -> None:
    """Print that it is; ``TrackRefused`` where there is no such track, or it has no version."""
    tracks = FsspecTracks(settings)
    track = _known(tracks, name)
    if track.state == "frozen":
        raise TrackRefused(f"track {name} is frozen already")
    pointer = tracks.store(name).pointer()
    if pointer is None:
        raise TrackRefused(f"track {name} has no version yet that it could stay at")
    _declare(tracks, track, "frozen")
    Terminal().print(
        f"track {name} is frozen at version {pointer.version}; `everfresh tracks start {name}` "
        "goes on with it"
    )


def run_promote(settings: Settings, name: str) -> None:
    """Print what the default track goes on from; ``TrackRefused`` where that cannot be."""
    tracks, console = FsspecTracks(settings), Terminal()
    track = _known(tracks, name)
    from everfresh.trainer.tracks.copying import promote  # noqa: PLC0415 - it loads torch

    before, after = promote(tracks, name, _now_ms())
    console.print(
        f"version {after.version} is the default track's current one, epoch {after.epoch}: that of "
        f"track {name}{_with(track)}"
    )
    console.print(f"to undo it: everfresh rollback {before.version}")
    console.print(f"track {name} itself goes on; to end it: everfresh tracks end {name}")
    if is_supervised(settings.home.resolve()):
        live, replicas = wait_for_replicas(with_brokers(settings), after)
        console.print(f"live on {live} of {replicas} replicas")


def run_end(settings: Settings, name: str, *, delete: bool) -> None:
    """Print that it is; ``TrackRefused`` where there is none, or an experiment names it."""
    tracks, console = FsspecTracks(settings), Terminal()
    track = _known(tracks, name, ended=True)
    if track.state == "ended" and not delete:
        raise TrackRefused(f"track {name} was ended before; --delete also deletes its versions")
    try:
        _require_unnamed(with_brokers(settings), name)
    except (RunError, Unreachable) as error:
        console.print(f"whether an experiment names the track is not known: {error}")
    if delete:
        tracks.remove(name)
        console.print(f"track {name} is ended, and its versions are deleted")
        return
    _declare(tracks, track, "ended")
    console.print(
        f"track {name} is ended, and its versions are kept; `everfresh tracks start {name}` goes "
        f"on with it, `everfresh tracks end {name} --delete` deletes them"
    )


def _declare(tracks: FsspecTracks, track: Track, state: str) -> Track:
    changed: Track = msgspec.structs.replace(track, state=state, changed=_now_ms())
    tracks.declare(changed)
    return changed


def _known(tracks: FsspecTracks, name: str, *, ended: bool = False) -> Track:
    declared = tracks.declared()
    track = declared.get(name)
    if name == DEFAULT:
        raise TrackRefused(
            f"the {DEFAULT} track goes on as long as the trainer runs; to keep a model as it is, "
            "start a frozen track from it: everfresh tracks start NAME --frozen"
        )
    if track is None or (track.state == "ended" and not ended):
        names = [each.name for each in declared.values() if each.served]
        near = get_close_matches(name, names, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise TrackRefused(
            f"there is no track {ascii(name)[:80]}; {meant}`everfresh tracks list` lists all"
        )
    return track


def _origin(word: str) -> tuple[str, int | None] | None:
    if word == NOTHING:
        return None
    name, sign, version = word.partition(":")
    if not sign:
        return name, None
    if not version.isascii() or not version.isdigit() or not 0 < len(version) <= 10:
        raise TrackRefused(
            f"--from takes a track, TRACK:VERSION, or {NOTHING}; found {ascii(word)[:80]}"
        )
    return name, int(version)


def _tuning_of(tracks: FsspecTracks, origin: tuple[str, int | None] | None) -> dict[str, object]:
    """The settings that the track it starts from has for its own, so that only what is asked for
    beside them is checked; none where there is no such track, which is told later."""
    if origin is None or (origin[0] != DEFAULT and origin[0] not in tracks.declared()):
        return {}
    store = tracks.store(origin[0])
    pointer = store.pointer()
    return {} if pointer is None else store.manifest(pointer.version).tuning


def _require_unnamed(settings: Settings, name: str) -> None:
    with DefinitionReader(settings.kafka.brokers, settings.kafka.topic_prefix) as reader:
        reader.read_to_end()
        known = reader.definitions()
    for _, definition in known.values():
        arms = [arm.name for arm in definition.arms if arm.track == name]
        if definition.stopped is None and arms:
            raise TrackRefused(
                f"experiment {definition.name} runs, and its arm {arms[0]} names track {name}; "
                f"stop it first: everfresh experiment stop {definition.name}"
            )


def _with(track: Track) -> str:
    if not track.tuning:
        return ""
    return ", with " + ", ".join(f"{name}={value}" for name, value in track.tuning.items())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

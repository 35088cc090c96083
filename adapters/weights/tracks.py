"""``TrackStore`` in a weight store: what is declared, and the versions of each track.

tracks.json           the tracks beside the default one, and their settings
tracks/NAME/          the versions of one, laid out as those of the default track at the top
"""

from __future__ import annotations

from difflib import get_close_matches

from everfresh.adapters.blobs import open_blobs
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.adapters.weights.version_folder import MOST_LIST, folder_version
from everfresh.contracts.errors import CorruptVersion, TrackRefused, WeightsError
from everfresh.contracts.experiments.definition import DEFAULT
from everfresh.contracts.experiments.track import (
    Track,
    decode_tracks,
    encode_tracks,
    require_track_name,
    with_track,
)
from everfresh.contracts.ports import TrackStore, TrainerStore
from everfresh.contracts.settings import Settings

TRACKS = "tracks.json"
_FOLDER = "tracks"


class FsspecTracks:
    """On a local folder changes wait for each other. An object store has no lock: of two changes at
    the same moment one may be lost, and the one who lost it is told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.weights_url.rstrip("/")
        self._blobs = open_blobs(self._url)

    @property
    def look_s(self) -> float:
        """See the port: as far apart as looks for a version are, and at least a second."""
        return max(1.0, self._settings.poll_ms / 1000)

    def declared(self) -> dict[str, Track]:
        """See the port; ``CorruptVersion`` where the file is damaged."""
        raw = self._blobs.get(TRACKS, MOST_LIST)
        try:
            return {} if raw is None else decode_tracks(raw)
        except ValueError as error:  # msgspec's own errors among them
            raise CorruptVersion(
                f"{TRACKS} in {self._url} cannot be read: {error}; mend it, or remove it and start "
                "the tracks again: their versions are not touched"
            ) from None

    def declare(self, track: Track) -> None:
        """See the port."""
        with self._blobs.exclusive():
            self._blobs.put(TRACKS, encode_tracks(with_track(self.declared(), track)))
        self._require_there(track.name, track)

    def remove(self, name: str) -> None:
        """See the port. The record goes first, so that nobody reads half a track."""
        require_track_name(name)
        with self._blobs.exclusive():
            rest = {other: track for other, track in self.declared().items() if other != name}
            self._blobs.put(TRACKS, encode_tracks(rest))
        self._require_there(name, None)
        self._blobs.remove_folder(f"{_FOLDER}/{name}")

    def store(self, name: str) -> FsspecWeightStore:
        """See the port."""
        if name == DEFAULT:
            return FsspecWeightStore.of(self._settings)
        require_track_name(name)
        return FsspecWeightStore.of(self._settings, f"{self._url}/{_FOLDER}/{name}")

    def stored_bytes(self, name: str) -> int:
        """See the port."""
        if name != DEFAULT:
            require_track_name(name)
        top = "" if name == DEFAULT else f"{_FOLDER}/{name}"
        folders = [folder for folder in self._blobs.folders(top) if folder_version(folder)]
        return sum(
            sum(self._blobs.sizes(f"{top}/{folder}".lstrip("/")).values()) for folder in folders
        )

    def _require_there(self, name: str, track: Track | None) -> None:
        if self.declared().get(name) != track:
            raise WeightsError(
                f"somebody else changed the tracks in {self._url} at the same moment; look at "
                "`everfresh tracks list`, and try again"
            )


def store_of(tracks: TrackStore, name: str) -> TrainerStore:
    """The versions of a track that was declared, or of the default one for no name.

    ``TrackRefused`` where there is no such track.
    """
    declared = tracks.declared()
    if name in ("", DEFAULT):
        return tracks.store(DEFAULT)
    if name not in declared:
        near = get_close_matches(name, list(declared), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise TrackRefused(
            f"there is no track {ascii(name)[:80]}; {meant}`everfresh tracks list` lists all"
        )
    return tracks.store(name)

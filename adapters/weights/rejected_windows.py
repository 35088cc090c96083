"""Where a weight store keeps the windows that the trainer's gate rejected, apart from versions.

rejected.json               the list of what is kept, oldest first
rejected/l0000000042-p7/    the files of one candidate: label 42, of version 7
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from everfresh.adapters.blob_port import Blobs
from everfresh.adapters.weights.version_folder import MOST_LIST, weight_file
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import Rejected
from everfresh.contracts.ports import REJECTED_KEPT
from everfresh.contracts.safetensors import VersionFile, whole

INDEX = "rejected.json"
_FOLDER = "rejected"


def with_rejected(
    listed: Sequence[Rejected], new: Rejected, files: Mapping[str, VersionFile]
) -> list[Rejected]:
    """The list once ``new`` is in it: each window and parent once, the oldest dropped."""
    entries = [weight_file(name, whole(files[name])) for name in sorted(files)]
    filled = msgspec.structs.replace(new, files=entries)
    others = [each for each in listed if _folder_name(each) != _folder_name(new)]
    return [*others, filled][-REJECTED_KEPT:]


def read_rejected(blobs: Blobs) -> list[Rejected]:
    """The list; ``CorruptVersion`` where it is damaged."""
    raw = blobs.get(INDEX, MOST_LIST)
    try:
        return [] if raw is None else msgspec.json.decode(raw, type=list[Rejected])
    except msgspec.MsgspecError as error:
        raise CorruptVersion(
            f"{INDEX} cannot be read: {error}; remove it: no version depends on it"
        ) from None


def write_rejected(blobs: Blobs, new: Rejected, files: Mapping[str, VersionFile]) -> None:
    """Write the files, then the list, then remove folders that the list does not name.

    These also include what a writer left that was killed in between.
    """
    listed = with_rejected(read_rejected(blobs), new, files)
    for name, file in files.items():
        blobs.put(f"{_FOLDER}/{_folder_name(new)}/{name}", whole(file))
    blobs.put(INDEX, msgspec.json.format(msgspec.json.encode(listed), indent=2))
    for name in set(blobs.folders(_FOLDER)) - {_folder_name(rejected) for rejected in listed}:
        blobs.remove_folder(f"{_FOLDER}/{name}")


def _folder_name(rejected: Rejected) -> str:
    cut = f"-c{rejected.cut}" if rejected.cut else ""
    return f"l{rejected.label:010d}-p{rejected.parent or 0}{cut}"

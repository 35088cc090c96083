"""Where a weight store keeps the windows that the gate held, apart from its versions.

rejected.json               what is kept, oldest first
rejected/l0000000042-p7/    the files of one candidate: label 42, of version 7
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from everfresh.adapters.blobs import Blobs
from everfresh.adapters.weights.version_folder import weight_file
from everfresh.contracts.errors import CorruptVersion
from everfresh.contracts.manifest import Rejected
from everfresh.contracts.ports import REJECTED_KEPT

INDEX = "rejected.json"
_FOLDER = "rejected"


def with_rejected(
    kept: Sequence[Rejected], new: Rejected, files: Mapping[str, bytes]
) -> list[Rejected]:
    """What is kept once ``new`` is."""
    listed = [weight_file(name, files[name]) for name in sorted(files)]
    filled = msgspec.structs.replace(new, files=listed)
    others = [one for one in kept if (one.label, one.parent) != (new.label, new.parent)]
    return [*others, filled][-REJECTED_KEPT:]


def read_rejected(blobs: Blobs) -> list[Rejected]:
    """What is kept; ``CorruptVersion`` where the list is damaged."""
    raw = blobs.get(INDEX)
    try:
        return [] if raw is None else msgspec.json.decode(raw, type=list[Rejected])
    except msgspec.MsgspecError as error:
        raise CorruptVersion(
            f"{INDEX} cannot be read: {error}; remove it, it is needed by nobody"
        ) from None


def write_rejected(blobs: Blobs, new: Rejected, files: Mapping[str, bytes]) -> None:
    """The files first, the list last; then what it does not name goes: also what a writer left
    that was killed in between."""
    kept = with_rejected(read_rejected(blobs), new, files)
    for name, data in files.items():
        blobs.put(f"{_FOLDER}/{_name(new)}/{name}", data)
    blobs.put(INDEX, msgspec.json.format(msgspec.json.encode(kept), indent=2))
    for name in set(blobs.folders(_FOLDER)) - {_name(one) for one in kept}:
        blobs.remove_folder(f"{_FOLDER}/{name}")


def _name(one: Rejected) -> str:
    return f"l{one.label:010d}-p{one.parent or 0}"

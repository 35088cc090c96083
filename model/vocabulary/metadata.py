"""What a vocabulary holds besides its tables, as bytes."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.contracts.foreign import ARRAY, advice, newer
from everfresh.model.vocabulary.sightings import Sightings

FORMAT = 3


class VocabularyMetadata(msgspec.Struct, frozen=True, array_like=True):
    """``actions`` in order of their codes, ``long`` the slots of ids that stand apart, ``waiting``
    the items that have been sighted but have no row yet. ``witnesses`` has a user of each of these
    and how many there are; it is left out where no user is known, as earlier builds did.
    """

    format: int
    admit_after: int
    actions: list[str]
    long: list[tuple[int, str]]
    waiting: list[tuple[ItemId, Sightings]]
    witnesses: list[tuple[int, int]] = []


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(VocabularyMetadata)


def encode_metadata(metadata: VocabularyMetadata) -> bytes:
    """msgpack."""
    fields = list(msgspec.structs.astuple(metadata))
    return _ENCODER.encode(fields if metadata.witnesses else fields[:-1])


def decode_metadata(raw: npt.NDArray[np.uint8]) -> VocabularyMetadata:
    """``ValueError`` on foreign bytes."""
    content = raw.tobytes()
    try:
        metadata = _DECODER.decode(content)
    except msgspec.MsgspecError as error:
        raise ValueError(newer(content, (FORMAT,), ARRAY) or str(error)) from None
    if metadata.format != FORMAT:
        older = "an earlier release wrote it, before all that is read"
        raise ValueError(
            f"format {FORMAT} was expected, found {metadata.format}; "
            f"{advice(metadata.format, (FORMAT,), older)}"
        )
    if len(metadata.witnesses) not in (0, len(metadata.waiting)):
        raise ValueError("as many witnesses as items that wait were expected")
    return metadata

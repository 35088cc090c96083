"""What a vocabulary holds besides its tables, as bytes."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from everfresh.contracts.event import ItemId
from everfresh.model.vocabulary.sightings import Sightings

FORMAT = 3


class VocabularyMetadata(msgspec.Struct, frozen=True, array_like=True):
    """``actions`` in order of their codes, ``long`` the slots of ids that stand apart, ``waiting``
    the items that have been sighted but have no row yet.
    """

    format: int
    admit_after: int
    actions: list[str]
    long: list[tuple[int, str]]
    waiting: list[tuple[ItemId, Sightings]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(VocabularyMetadata)


def encode_metadata(metadata: VocabularyMetadata) -> bytes:
    """msgpack."""
    return _ENCODER.encode(metadata)


def decode_metadata(raw: npt.NDArray[np.uint8]) -> VocabularyMetadata:
    """``ValueError`` on foreign bytes."""
    try:
        metadata = _DECODER.decode(raw.tobytes())
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if metadata.format != FORMAT:
        raise ValueError(f"format {FORMAT} was expected, found {metadata.format}")
    return metadata

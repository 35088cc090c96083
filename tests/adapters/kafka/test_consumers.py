"""What a reader says where a topic cannot be read."""

from __future__ import annotations

import pytest
from kafka.errors import (
    CorruptRecordError,
    KafkaConnectionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from everfresh.adapters.kafka.consumers import reading
from everfresh.contracts.errors import EverfreshError, MissingDependency, Unreachable
from everfresh.contracts.kafka.security import Brokers

BROKERS = Brokers("b:9092")


@pytest.mark.parametrize(
    ("error", "said_as", "words"),
    [
        (UnsupportedCodecError("no zstd"), MissingDependency, "no zstd; install zstandard"),
        (TopicAuthorizationFailedError("t"), Unreachable, "may not be read by this client"),
        (CorruptRecordError("crc"), Unreachable, "a batch of records that is damaged"),
        (OffsetOutOfRangeError("7"), Unreachable, "retention removed it"),
        (KafkaConnectionError("refused"), Unreachable, "check that the broker is up"),
    ],
)
def test_it_says_why_a_topic_cannot_be_read_and_blames_the_broker_for_its_own_alone(
    error: Exception, said_as: type[EverfreshError], words: str
) -> None:
    with pytest.raises(said_as, match=words) as raised, reading("p.windows", BROKERS):
        raise error
    assert "p.windows" in str(raised.value)
    assert ("broker is up" in str(raised.value)) == isinstance(error, KafkaConnectionError)

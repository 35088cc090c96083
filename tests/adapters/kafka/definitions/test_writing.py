"""How it is said that a definition could not be written."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from everfresh.adapters.kafka.definitions import writing
from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers
from tests.contracts.experiments.definitions import define

NOWHERE = "Unexpected error in InitProducerIdResponse: [Error 31] ClusterAuthorizationFailedError"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TopicAuthorizationFailedError("t"), "has no right at b:9092 to Write on topic p.experi"),
        (KafkaError(NOWHERE), "has no right at b:9092 to Write on topic p.experiments; add an ACL"),
        (KafkaError("no leader"), "no leader.*; whether it was written is not known: look at"),
    ],
)
def test_what_kafka_refuses_is_one_line_that_says_what_to_do(
    error: KafkaError, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Producer:
        def __init__(self, **_: Any) -> None:
            """Connected."""

        def send(self, *_: Any, **__: Any) -> Any:
            raise error

        def close(self, timeout: float) -> None:
            """Nothing is open."""

    monkeypatch.setattr(writing, "KafkaProducer", Producer)
    with KafkaDefinitionLog(Brokers("b:9092"), "p.") as log:
        with pytest.raises(Unreachable, match=message) as refused:
            log.write("green", define())
        assert "\n" not in str(refused.value)

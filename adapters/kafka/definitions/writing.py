"""``DefinitionLog`` on Kafka: the topic ``experiments`` for those who change it."""

from __future__ import annotations

from kafka import KafkaProducer
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from everfresh.adapters.kafka.consumers import Closing
from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import python_options
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.experiments.definition import Definition, encode_definition
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.topics import EXPERIMENTS, topic_name

_WAIT_S = 30.0
_NOWHERE = "ClusterAuthorizationFailed"


class KafkaDefinitionLog(Closing):
    """Used by one thread, for one change; a context manager. Each call looks at the log anew.

    ``Unreachable`` where the broker or the topic is missing, or a right to it.
    """

    def __init__(self, brokers: Brokers, topic_prefix: str) -> None:
        self._brokers = brokers
        self._prefix = topic_prefix
        self._topic = topic_name(topic_prefix, EXPERIMENTS)
        self._producer: KafkaProducer | None = None

    def read(self) -> tuple[int, dict[str, tuple[int, Definition]]]:
        """See the port."""
        with DefinitionReader(self._brokers, self._prefix) as reader:
            reader.read_to_end()
            return reader.end, reader.definitions()

    def before(self, name: str, version: int) -> Definition | None:
        """See the port."""
        with DefinitionReader(self._brokers, self._prefix, before=version) as reader:
            reader.read_to_end()
            found = reader.definitions().get(name)
        return None if found is None else found[1]

    def write(self, name: str, definition: Definition | None) -> int:
        """See the port."""
        value = None if definition is None else encode_definition(definition)
        try:
            if self._producer is None:
                self._producer = KafkaProducer(
                    **python_options(self._brokers),
                    acks="all",
                    allow_auto_create_topics=False,
                    max_block_ms=5_000,
                    delivery_timeout_ms=25_000,
                    request_timeout_ms=10_000,
                )
            future = self._producer.send(self._topic, value=value, key=name.encode())
            return int(future.get(timeout=_WAIT_S).offset)
        except KafkaError as error:
            # The second is said of those who may write to no topic at all, in a text alone.
            if isinstance(error, TopicAuthorizationFailedError) or _NOWHERE in str(error):
                right = missing_right(self._brokers, f"Write on topic {self._topic}")
                raise Unreachable(right) from None
            raise Unreachable(
                f"{self._topic} at {self._brokers} does not accept a definition ({error}); whether "
                "it was written is not known: look at `everfresh experiment list`"
            ) from None

    def close(self) -> None:
        """End the connection."""
        if self._producer is not None:
            self._producer.close(timeout=1.0)

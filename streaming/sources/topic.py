"""A source's topic as Kafka knows it: is it there, is it still the same, and why it is not read."""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.rights import missing_right
from everfresh.adapters.kafka.security.options import librdkafka_options
from everfresh.contracts.errors import LogMismatch, Unreachable
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import source_group

GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
_LOOK_S = 5.0
LIBRARY_LOG = logging.getLogger("everfresh.librdkafka")


class SourceTopic:
    """``Unreachable`` at the start where no broker answers or the topic is missing."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._topic = settings.sources[name].topic
        self._brokers = settings.kafka.brokers
        require_broker(self._brokers)
        self.group = source_group(settings.kafka.topic_prefix, name)
        self.options = {
            **librdkafka_options(self._brokers),
            "client.id": f"everfresh-bridge-{name}",
            "log_level": 0,
            "logger": LIBRARY_LOG,  # or fatal errors would be written to stderr
        }
        self._admin = AdminClient(self.options)
        self.away = ""
        """Why Kafka cannot be asked at present; empty while it can."""
        self.id = self._ask()
        self._looked_s = time.monotonic()

    def identify(self) -> None:
        """Ask for the topic's id; ``Unreachable`` where nobody can tell."""
        self.id = self._ask()

    def look(self) -> None:
        """Now and then: ``LogMismatch`` where the topic was made anew since the last look."""
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self.is_same()

    def is_same(self) -> bool:
        """Whether the topic is still the one that :attr:`id` names, and so whatever was read of it
        before. ``LogMismatch`` where it was made anew; False where nobody can tell."""
        self._looked_s, self.away = time.monotonic(), ""
        try:
            found = self._ask()
        except Unreachable as error:  # the consumer goes on once it is there again
            self.away = str(error)
            return False
        if found != self.id:
            raise LogMismatch(
                f"source topic {self._topic} was deleted and created again: its id was {self.id} "
                f"and is {found}; start the bridge again, which says where it would go on"
            )
        return True

    def _ask(self) -> str:
        try:
            asked = self._admin.describe_topics(
                TopicCollection([self._topic]), request_timeout=_LOOK_S
            )
            return str(asked[self._topic].result().topic_id)
        except KafkaException as error:
            raise self.unreachable(error.args[0]) from None

    def unreachable(self, error: KafkaError) -> Unreachable:
        """What is wrong, and what to do."""
        code = error.code()
        if code in GONE:
            return Unreachable(
                f"source topic {self._topic} is not at {self._brokers}; create it, or correct "
                f"sources.{self._name}.topic"
            )
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return Unreachable(missing_right(self._brokers, f"Read on topic {self._topic}"))
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return Unreachable(missing_right(self._brokers, f"Read on group {self.group}"))
        if code in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError._FATAL):
            return Unreachable(
                f"another bridge of source {self._name} runs with the same index; give this one "
                "another (--index)"
            )
        return Unreachable(
            f"source topic {self._topic} cannot be read at {self._brokers}: {error.str()}; check "
            "that the broker is up"
        )

"""Dead letters of sources, on their way back: mapped again, by the settings as they are now."""

from __future__ import annotations

import msgspec

from everfresh.contracts.dead_letter import DeadLetter
from everfresh.contracts.errors import EventRejected
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.streaming.sources.conversion import Conversion, Converted


class SourceLetters:
    """Prepares letters for a re-drive. Those of other topics stay as they are.

    A letter of a source becomes an event, with the id that the bridge would have given it; its
    topic, which other programs read too, gets nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = {source.topic: name for name, source in settings.sources.items()}
        self._conversions: dict[str, Conversion] = {}
        self._events = topic_name(settings.kafka.topic_prefix, EVENTS)

    def refusal(self, letter: DeadLetter) -> str:
        """Why no event can be made of it; empty where one can, or none is to be made."""
        if letter.topic not in self._names:
            return ""
        try:
            self(letter)
        except EventRejected as cause:
            return cause.reason
        return ""

    def __call__(self, letter: DeadLetter) -> DeadLetter:
        """What is sent for it; ``EventRejected`` where :meth:`refusal` says so."""
        name = self._names.get(letter.topic)
        if name is None:
            return letter
        conversion = self._conversions.get(name)
        if conversion is None:
            conversion = self._conversions[name] = Conversion(name, self._settings)
        headers = [(each, raw) for each, raw in letter.headers]
        made = conversion.convert(
            letter.identity, letter.timestamp, letter.key, [*headers], letter.value
        )
        if not isinstance(made, Converted):
            raise EventRejected(made, "the source's settings leave it out")
        return msgspec.structs.replace(
            letter,
            topic=self._events,
            partition=0,
            key=made.key,
            value=made.value,
            headers=made.headers,
        )

"""``everfresh demo --experiment``: the live model against one frozen early, by simulated clicks.

Nobody is there to click, so the stream stands for the users' taste. A user who is answered clicks
the first shown item that is among their next ones in the stream, if there is one. So an arm whose
model knows better what comes next gets more clicks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import MissingDependency
from everfresh.contracts.event import ItemId, UserId
from everfresh.contracts.experiments.definition import DEFAULT, Arm, Definition
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.experiments import lifecycle
from everfresh.experiments.publishing import publish
from everfresh.infra.cli.commands.experiment.report import run_report
from everfresh.infra.cli.demo.streams import Stream
from everfresh.streaming.producer import EventProducer

NAME, FROZEN = "live-against-frozen", "frozen"
HORIZON_S = 10.0
"""The demo cannot wait half an hour for its outcomes."""
FIRST_VERSION = 2
"""The version from which on one is frozen: early, so that there is much to compare."""
_ACTIVE = 2_000
_TASTE = 10
_TUNED_AT = 3_000
"""About as many answers as the demo gives."""
_METRICS = ["click_through: answers with click"]
_AFTER_HORIZON_S = 8.0
"""Until the outcomes of the last answers are in their topic."""


class Taste:
    """What users choose next, by the order of all events of a stream. Pure."""

    def __init__(self, chosen: Sequence[tuple[UserId, ItemId]]) -> None:
        self._chosen = chosen
        self._places: dict[UserId, list[tuple[int, ItemId]]] = {}
        for place, (user, item) in enumerate(chosen):
            self._places.setdefault(user, []).append((place, item))

    def active(self, sent: int) -> list[UserId]:
        """Users who have chosen before place ``sent``, and choose again soon after it."""
        soon = dict.fromkeys(user for user, _ in self._chosen[sent : sent + _ACTIVE])
        return [user for user in soon if self._places[user][0][0] < sent]

    def clicked(self, user: UserId, sent: int, shown: Sequence[ItemId]) -> ItemId | None:
        """The first shown item that is among the user's next choices; ``None`` where none is."""
        coming = [item for place, item in self._places.get(user, ()) if place >= sent][:_TASTE]
        return next((item for item in shown if item in coming), None)


class Trial:
    """The demo's experiment, on a loop that is up. ``sent`` says how many events were replayed.

    ``users`` and ``answered`` are called by the thread that asks for recommendations.
    """

    def __init__(self, settings: Settings, stream: Stream, sent: Callable[[], int]) -> None:
        events = stream.events(settings)
        self._taste = Taste([(event.user_id, event.item_id) for event in events])
        self._settings = settings
        self._sent = sent
        self._producer: EventProducer | None = None
        self._frozen, self._started = "", False
        self.clicks = 0

    def users(self) -> list[UserId]:
        """Whom to answer next."""
        return self._taste.active(self._sent())

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Click, where the taste says so: an event that names the answer."""
        item = self._taste.clicked(answer["user_id"], self._sent(), answer["items"])
        if item is None:
            return
        kafka = self._settings.kafka
        if self._producer is None:
            topic = topic_name(kafka.topic_prefix, EVENTS)
            security = kafka.security.of_client
            self._producer = EventProducer(kafka.bootstrap_servers, topic, security=security)
        user, request = answer["user_id"], answer["request_id"]
        self._producer.send(user_id=user, item_id=item, type="click", request_id=request)
        self.clicks += 1

    def begin(self, version: int, replicas: Sequence[ComponentStatus]) -> str | None:
        """Once there is a ``version`` to freeze, freeze it as a track; once all ``replicas`` hold
        that, start the experiment. A line on it, the one time that it is started."""
        if self._started or version < FIRST_VERSION:
            return None
        if not self._frozen:
            self._frozen = self._freeze()
        if not replicas or not all(_holds(each, FROZEN) for each in replicas):
            return None
        self._started = True
        now_ms, kafka = time.time_ns() // 1_000_000, self._settings.kafka
        arms = [Arm("frozen", 0.5, FROZEN), Arm("live", 0.5)]
        made = Definition(name=NAME, arms=arms, seed=NAME, started=now_ms, changed=now_ms)
        with KafkaDefinitionLog(kafka.brokers, kafka.topic_prefix) as log:
            publish(log, lambda known: lifecycle.start(known, made, (DEFAULT, FROZEN)))
        return (
            f"experiment {NAME}: half of the users get {self._frozen} as it is, half what is live"
        )

    def _freeze(self) -> str:
        from everfresh.trainer.tracks.copying import start_track  # noqa: PLC0415 - it loads torch

        tracks, now_ms = FsspecTracks(self._settings), time.time_ns() // 1_000_000
        current = DEFAULT, None
        track = start_track(tracks, FROZEN, current, {}, self._settings, now_ms, frozen=True)
        return track.origin

    def show(self, watch: Callable[[], None]) -> None:
        """Wait for the last outcomes, print the report, and draw its page."""
        if self._producer is not None:
            self._producer.close()
        until = time.monotonic() + HORIZON_S + _AFTER_HORIZON_S
        while time.monotonic() < until:
            watch()
            time.sleep(0.2)
        run_report(self._settings, NAME, self._settings.home / "experiment.html", as_json=False)


def _holds(replica: ComponentStatus, track: str) -> bool:
    tracks = replica.figures.get("tracks")
    said = tracks.get(track) if isinstance(tracks, dict) else None
    return isinstance(said, dict) and said.get("version") is not None


def settings_of_trial(settings: Settings) -> Settings:
    """Outcomes within the demo's time; ``MissingDependency`` before anything is started, rather
    than when the report is due."""
    try:
        from everfresh.experiments.verdict import report  # noqa: F401, PLC0415  (needs an extra)
    except ImportError as error:
        raise MissingDependency(
            f"the demo's experiment needs {error.name} for its report; install it with pip install "
            "'everfresh[report]'"
        ) from None
    joins = settings.joins.model_copy(update={"horizon_s": HORIZON_S})
    verdict = settings.verdict.model_copy(update={"tuned_at": _TUNED_AT, "metrics": _METRICS})
    return settings.model_copy(update={"joins": joins, "verdict": verdict})

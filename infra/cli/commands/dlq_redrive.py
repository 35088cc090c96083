"""``everfresh dlq redrive``: sends dead letters back to where they came from, each once."""

from __future__ import annotations

import contextlib
import fcntl
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from everfresh.adapters.kafka.dead_letters import DeadLetterReader, Selection
from everfresh.adapters.kafka.redrive import Redriver
from everfresh.adapters.machine.private_home import close_home
from everfresh.contracts.dead_letter import DeadLetter
from everfresh.contracts.errors import RunError
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.commands.topics.source_letters import SourceLetters
from everfresh.infra.cli.running import with_brokers
from everfresh.infra.cli.terminal import Terminal

_PROGRESS_EVERY = 10_000


class _Sendable:
    """The dead letters that can and may be sent; the others are counted."""

    def __init__(
        self, letters: Iterable[DeadLetter], sent: set[str], prepare: SourceLetters
    ) -> None:
        self._letters = letters
        self._sent = sent
        self._prepare = prepare
        self.sent_before = 0
        self.cut = 0
        self.still: Counter[str] = Counter()

    def __iter__(self) -> Iterator[DeadLetter]:
        for letter in self._letters:
            if letter.cut_from is not None:
                self.cut += 1
            elif letter.identity in self._sent:
                self.sent_before += 1
            elif reason := self._prepare.refusal(letter):
                self.still[reason] += 1
            else:
                yield letter


def run_redrive(settings: Settings, chosen: Selection, *, again: bool, act: bool) -> None:
    """Count, and with ``act`` send; ``DeliveryError`` where some could not be sent."""
    settings = with_brokers(settings)
    console = Terminal()
    brokers, prefix = settings.kafka.brokers, settings.kafka.topic_prefix
    with _alone(settings.home.resolve()):
        prepare = SourceLetters(settings)
        redriver = Redriver(brokers, prefix, prepare)
        sent = set() if again else redriver.sent()
        reader = DeadLetterReader(brokers, prefix, settings.source_topics)
        sendable = _Sendable(reader.read(chosen), sent, prepare)
        counts: Counter[tuple[str, str]] = Counter()
        try:
            for letter in redriver.send(sendable) if act else sendable:
                counts[letter.topic, letter.reason] += 1
                if act and counts.total() % _PROGRESS_EVERY == 0:
                    console.print(f"{counts.total():,} sent …")
        finally:
            _sum_up(console, counts, sendable, act=act)
            if foreign := reader.foreign + redriver.foreign:
                console.print(f"{foreign:,} records that everfresh did not write were left out")


def _sum_up(
    console: Terminal, counts: Counter[tuple[str, str]], sendable: _Sendable, *, act: bool
) -> None:
    done = "were sent" if act else "would be sent"
    if not counts:
        console.print("no dead letters " + done)
    for (topic, reason), number in counts.most_common():
        console.print(f"{number:,} ({reason}) {done} to {topic}")
    if sendable.sent_before:
        console.print(f"{sendable.sent_before:,} were sent before; --again sends them once more")
    if sendable.cut:
        console.print(f"{sendable.cut:,} were cut for their length, so they cannot be sent again")
    for reason, number in sendable.still.most_common():
        console.print(
            f"{number:,} of a source still cannot become events ({reason}): correct its mapping"
        )
    if counts and not act:
        console.print("nothing was sent: add --yes to send them")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """The only re-drive of this home; two at once could send a letter twice."""
    path = home / "run" / "redrive.lock"
    close_home(home)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"another re-drive of {home} is running; wait until it has ended"
            ) from None
        yield

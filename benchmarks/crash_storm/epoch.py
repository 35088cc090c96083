"""Some rounds on the same topics and homes: break, heal, drain, compare with the log."""

from __future__ import annotations

import random
import time
from typing import Any

from benchmarks.crash_storm.cluster import TRAINER, Broker, Cluster, RestartedProcess
from benchmarks.crash_storm.faults import Faults, Heal
from benchmarks.crash_storm.findings import Findings
from benchmarks.crash_storm.load import Load
from benchmarks.crash_storm.observe import TopicReader, applied, compare, read_pairs
from benchmarks.crash_storm.plain import PlainPartition, Rules
from benchmarks.crash_storm.tiling import Tiling
from benchmarks.crash_storm.training import in_peace, trained_through
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import DEAD_LETTERS, EVENTS, WINDOWS, topic_name

_DRAIN_SECONDS = 600.0
_STEP_SECONDS = 0.05
_CATCH_UP_SECONDS = 120.0


class Epoch:
    """Fresh topics, homes and load on a broker that lives on. Close it in the end."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        seed: int,
        trains: bool,
    ) -> None:
        """Works in the settings' home. ``trains`` brings a trainer into the storm."""
        servers = settings.kafka.bootstrap_servers
        ensure_topics(Brokers(servers), settings)
        self._settings = settings
        self.findings = Findings(messages=[])
        self._choose = random.Random(seed)
        self._cluster = Cluster(broker, settings, settings.home, trains)
        session_s = settings.kafka.session_ms / 1000
        self._faults = Faults(self._cluster, self._choose, session_s)
        events = settings.events
        ahead_ms = round(events.ahead_s * 1000)
        rules = Rules(events.actions, events.max_bytes, ahead_ms, events.remember_ids)
        self._logs = {number: PlainPartition(rules) for number in range(settings.kafka.partitions)}
        period_ms = round(settings.windows.seconds * 1000)
        self._tilings = {
            number: Tiling(log, period_ms, settings.state.history_length)
            for number, log in self._logs.items()
        }
        self._readers = {
            spec.name: TopicReader(servers, topic_name(settings.kafka.topic_prefix, spec))
            for spec in (EVENTS, WINDOWS, DEAD_LETTERS)
        }
        self._dead_letters: dict[tuple[int, int], tuple[str, bytes | None, bytes | None]] = {}
        topic = topic_name(settings.kafka.topic_prefix, EVENTS)
        self._load = Load(servers, topic, seed)
        self._cluster.workers["a", 0].start()
        if self._cluster.trainer:
            self._cluster.trainer.start()

    def settle(self) -> str:
        """Ends a round, once the broker answers: drain, compare; returns the seconds of both."""
        self._load.pause()
        began = time.monotonic()
        self._drain()
        drained = time.monotonic()
        self._check_states()
        self._check_windows()
        self._check_dead_letters()
        self._check_acknowledged()
        self.findings.rounds += 1
        return f"{drained - began:.1f} + {time.monotonic() - drained:.1f} s"

    def close(self) -> None:
        """End workers and load, and add up what the epoch has seen."""
        self._load.close()
        self._check_versions()
        self._cluster.close()
        findings = self.findings
        for log in self._logs.values():
            findings.events += len(log.accepted)
            findings.rejected += len(log.rejected)
            findings.users += len(log.users)
        for tiling in self._tilings.values():
            findings.slices += tiling.slices
            findings.repeated += tiling.repeated
            findings.late += tiling.late
        for process in self._cluster.processes:
            for output in process.exits:
                findings.exits[output.splitlines()[-1] if output else "without a word"] += 1

    def storm(self) -> str:
        """Begins a round: load, and one to three faults in it. Returns what struck, once all that
        heals has healed."""
        self._load.resume()
        struck: list[str] = []
        heals: list[Heal] = []
        for _ in range(self._choose.randint(1, 3)):
            heals = self._live(self._choose.uniform(0.3, 1.3), heals)
            name, ends = self._faults.strike()
            struck.append(name)
            self.findings.faults[name] += 1
            heals += ends
        heals = self._live(0.5, heals)
        while heals:
            heals = self._live(_STEP_SECONDS, heals)
        self._cluster.broker.join()
        if not self._cluster.running():
            self._cluster.workers["a", 0].start()
        return ", ".join(struck)

    def _live(self, seconds: float, heals: list[Heal]) -> list[Heal]:
        """Let time pass, heal what is due, revive who died; returns the heals that are left."""
        until = time.monotonic() + seconds
        while True:
            self._cluster.revive()
            due = [heal for heal in heals if heal[0] <= time.monotonic()]
            for _, heal in due:
                heal()
            heals = [heal for heal in heals if heal not in due]
            if time.monotonic() >= until:
                return heals
            time.sleep(_STEP_SECONDS)

    def _drain(self) -> None:
        """Until slices reach the end of the log in every partition."""
        for record in self._readers[EVENTS.name].new_records():
            self._logs[record.partition].add(record)
        until = time.monotonic() + _DRAIN_SECONDS
        while True:
            for record in self._readers[WINDOWS.name].new_records():
                self._tilings[record.partition].add(record.value)
            behind = [n for n, log in self._logs.items() if self._tilings[n].end < log.end]
            if not behind:
                return
            if time.monotonic() > until:
                self.findings.stuck += 1
                self._note(f"partitions {behind} are not drained after {_DRAIN_SECONDS:.0f} s")
                return
            self._live(0.1, [])

    def _check_states(self) -> None:
        """Every state, as far as it reaches; one of each partition must reach the end."""
        until = time.monotonic() + _CATCH_UP_SECONDS
        missing = self._compare_states()
        # Read beside its writer, a state may lack the newest batches for a moment.
        while missing and time.monotonic() < until:
            self._live(0.5, [])
            missing = self._compare_states()
        if missing:
            self.findings.lost += sum(len(self._logs[number].accepted) for number in missing)
            self._note(f"no state reaches the end of partitions {missing}")

    def _compare_states(self) -> list[int]:
        """Partitions of which no state reaches the end of the log."""
        complete = set()
        for number, path in self._cluster.states():
            pairs = read_pairs(path)
            faults = compare(pairs, self._logs[number], self._settings.state.history_length)
            self.findings.lost += faults.lost
            self.findings.duplicated += faults.duplicated
            self.findings.states_wrong += len(faults.wrong)
            for user in faults.wrong:
                self._note(f"{user} in {path.parent.parent.name}")
            if applied(pairs) == self._logs[number].end:
                complete.add(number)
        return sorted(set(self._logs) - complete)

    def _check_windows(self) -> None:
        for number, tiling in self._tilings.items():
            tiling.check()
            self.findings.windows_wrong += len(tiling.faults)
            for fault in tiling.faults:
                self._note(f"windows partition {number}: {fault}")
            tiling.faults = []

    def _check_dead_letters(self) -> None:
        """Exactly the rejected records, each with its bytes, its reason and its place."""
        for letter in self._readers[DEAD_LETTERS.name].new_records():
            headers = {name: content.decode() for name, content in letter.headers}
            place = int(headers["dead_partition"]), int(headers["dead_offset"])
            content = (headers["dead_reason"], letter.key, letter.value)
            if self._dead_letters.setdefault(place, content) != content:
                self._dead_letter_wrong(f"dead letter of {place} was written with other content")
        expected: dict[tuple[int, int], Any] = {
            (number, offset): content
            for number, log in self._logs.items()
            for offset, content in log.rejected.items()
        }
        for place in sorted(expected.keys() | self._dead_letters.keys()):
            if expected.get(place) != self._dead_letters.get(place):
                self._dead_letter_wrong(
                    f"dead letter of {place}: {self._dead_letters.get(place)} instead of "
                    f"{expected.get(place)}"
                )

    def _dead_letter_wrong(self, message: str) -> None:
        self.findings.letters_wrong += 1
        self._note(message)

    def _check_acknowledged(self) -> None:
        """What the broker has acknowledged is in the log, where it said."""
        for (number, offset), value in self._load.acknowledged.items():
            log = self._logs[number]
            held = log.accepted.get(offset) or log.rejected.get(offset)
            if held is None:
                self.findings.lost += 1
                self._note(f"acknowledged at {number}/{offset} and not in the log: {value!r}")
        self._load.acknowledged.clear()

    def _check_versions(self) -> None:
        """The trainer that was killed again and again, against one that was left in peace."""
        trainer = self._cluster.trainer
        if trainer is None or not self.findings.clean:
            return
        ends = {number: log.end for number, log in self._logs.items() if log.end}
        undisturbed = RestartedProcess(
            TRAINER, in_peace(trainer.settings), self._settings.home / "calm.err"
        )
        try:
            stormy = trained_through(trainer.settings, ends, self._cluster.revive)
            trainer.kill()
            undisturbed.start()
            peaceful = trained_through(undisturbed.settings, ends, undisturbed.revive)
        except TimeoutError as error:
            self.findings.stuck += 1
            self._note(str(error))
            return
        finally:
            undisturbed.kill()
        self.findings.versions_compared += len(peaceful)
        for version in sorted(stormy.keys() | peaceful.keys()):
            if stormy.get(version) != peaceful.get(version):
                self.findings.versions_differ += 1
                self._note(f"version {version} differs from that of a trainer left in peace")

    def _note(self, message: str) -> None:
        self.findings.messages.append(f"round {self.findings.rounds + 1}: {message[:500]}")

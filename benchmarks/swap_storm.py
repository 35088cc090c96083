"""Swaps under constant load: what fails, what mixes versions, and what they do to the latency.

Real Kafka, stream worker, Ray, HAProxy and two replicas. A publisher process stands for the
trainer and writes a version with one per cent of its rows touched so many times a second; an
asking process sends requests at a constant rate and keeps every answer. Segments alternate: in a
busy one every version goes live, in a calm one the publisher writes as many where nobody looks.
One replica and the publisher are killed -9 on the way. Afterwards every answer is checked from
outside: its items and scores are computed again from the version it names.

The pause of a swap is taken from outside too: the slowest request within a tenth of a second of
the first answer by a new version, against the slowest around as many moments without a swap.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks._harness import add_options, finish, show
from benchmarks._stage import Stage, made_histories, stage, until
from benchmarks.swap.asker import Asked
from benchmarks.swap.check import count_mixed
from benchmarks.swap.outcome import Outcome, Segment, draw, summarise
from benchmarks.swap.publisher import begin
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.weights.store import FsspecWeightStore

PACE, RATE, ITEMS, USERS, HISTORY = 3.0, 100.0, 10_000, 20, 100
_CALM = 1 / 5
"""How long a calm segment lasts, as a share of a busy one."""


class Course(msgspec.Struct, frozen=True):
    """How many versions go live in how many busy segments, how fast, of how many items."""

    swaps: int
    rounds: int
    pace: float = PACE
    items: int = ITEMS


class Storm:
    """The two processes on a stage, and the segments so far."""

    def __init__(self, on: Stage, folder: Path, store: FsspecWeightStore, pace: float) -> None:
        self.on = on
        self._folder = folder
        self._store = store
        self.segments: list[Segment] = []
        self._order("pace", pace)
        self._order("until", 1)
        self._publisher = self._publish()
        aside = FsspecWeightStore(str(folder / "aside"))
        until(lambda: aside.versions()[-1] > 1, "the publisher", 600.0)
        self._asker = self._ask()

    def busy(self, swaps: int, fault: str = "") -> None:
        """Let that many versions go live, and kill something in the middle."""
        goal = self._version() + swaps
        self._order("until", goal)
        began = time.monotonic()
        if fault:
            until(lambda: self._version() >= goal - swaps // 2, "half of the segment", 600.0)
            self._kill(fault)
        until(lambda: self._version() >= goal, f"version {goal}", 600.0)
        self._note(True, began, fault)

    def calm(self, seconds: float) -> None:
        """Nothing goes live."""
        began = time.monotonic()
        time.sleep(seconds)
        self._note(False, began, "")

    def stop(self) -> list[Asked]:
        """End both and return every answer."""
        (self._folder / "stop").touch()
        until(lambda: self._asker.poll() is not None, "the last answers")
        self._publisher.stop(5.0)
        raw = (self._folder / "answers").read_bytes()
        return msgspec.json.Decoder(Asked).decode_lines(raw)

    def _kill(self, fault: str) -> None:
        if fault == "replica":
            self.on.replicas()[0].send_signal(signal.SIGKILL)
        else:
            self._publisher.stop(0.0)
            self._publisher = self._publish()

    def _note(self, busy: bool, began: float, fault: str) -> None:
        self.segments.append(Segment(busy, began, time.monotonic(), fault))
        kind = "busy" if busy else "calm"
        print(f"{kind} {self.segments[-1].end - began:5.1f} s, version {self._version()} {fault}")

    def _version(self) -> int:
        pointer = self._store.pointer()
        return pointer.version if pointer else 0

    def _order(self, name: str, value: float) -> None:
        draft = self._folder / f".{name}"
        draft.write_text(str(value))
        draft.replace(self._folder / name)

    def _publish(self) -> ChildProcess:
        return self._run("benchmarks.swap.publisher", str(self._folder))

    def _ask(self) -> ChildProcess:
        files = ["--out", str(self._folder / "answers"), "--stop", str(self._folder / "stop")]
        load = ["--rate", str(RATE), "--users", str(USERS)]
        return self._run("benchmarks.swap.asker", self.on.url, *files, *load)

    def _run(self, module: str, *words: str) -> ChildProcess:
        with (self._folder / f"{module}.log").open("ab") as log:
            return ChildProcess(
                [sys.executable, "-m", module, *words],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**self.on.environment(), "OMP_NUM_THREADS": "1"},
            )


def storm(
    on: Stage, folder: Path, store: FsspecWeightStore, course: Course
) -> tuple[list[Segment], list[Asked]]:
    """The whole course of events."""
    made = Storm(on, folder, store, course.pace)
    each = max(2, course.swaps // course.rounds)
    made.calm(3.0)
    made.busy(2)
    made.segments.clear()  # the first requests and swaps of all warm the replicas
    faults = {course.rounds // 3: "replica", 2 * course.rounds // 3: "publisher"}
    for number in range(course.rounds):
        made.calm(max(2.0, _CALM * each / course.pace))
        made.busy(each, faults.get(number, ""))
    return made.segments, made.stop()


def run(home: Path, course: Course) -> Outcome:
    """A stage with two replicas, the storm on it, and the check."""
    folder = home.parent / "storm"
    for made in (home, folder):
        made.mkdir()
    users = made_histories(USERS, HISTORY, course.items)
    with stage(home, users, serving={"replicas": 2}, windows={"seconds": 60.0}) as on:
        store = begin(on.settings.weights_url, on.settings, course.items)
        begin(str(folder / "aside"), on.settings, course.items)
        segments, answers = storm(on, folder, store, course)
        print(f"checking {len(answers):,} answers")
        mixed, versions = count_mixed(answers, on.settings, store)
    return Outcome(segments, answers, mixed, versions)


def main() -> None:
    """Run, check, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--swaps", type=int, default=1_000, help="versions to go live")
    parser.add_argument("--pace", type=float, default=PACE, help="versions per second")
    parser.add_argument("--plot", type=Path, help="draw the latencies into this file")
    options = parser.parse_args()
    began = time.monotonic()
    swaps, rounds = (60, 4) if options.quick else (options.swaps, min(10, options.swaps // 8))
    course = Course(swaps, rounds, options.pace)
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name) / "home", course)
    figures = summarise(found, course.pace)
    show("Swaps under load", ("", "found"), [(key, str(one)) for key, one in figures.items()])
    for failure in [one.failure for one in found.answers if one.failure][:5]:
        print("failed:", failure)
    finish(figures, began, options.json)
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()

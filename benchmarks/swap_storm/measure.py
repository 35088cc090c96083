"""A swap storm: the publisher, the client and the faults, on a stage with two replicas."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec

from benchmarks.harness.waiting import wait_until
from benchmarks.stage.serving import ServingStage, serving_stage
from benchmarks.swap_storm.check import count_mixed
from benchmarks.swap_storm.client import Answer
from benchmarks.swap_storm.report import Outcome, Segment
from benchmarks.synthetic.states import random_histories
from benchmarks.synthetic.versions import first_version, untrained
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.weights.store import FsspecWeightStore

PACE, RATE, ITEMS, USERS, HISTORY = 3.0, 100.0, 10_000, 20, 100
_PATIENCE_S = 10.0
_WAKE_S = 1.0
"""For the kept connections to see that they are to ask, and to be answered."""
_CALM = 1 / 5
"""How long a calm segment lasts, as a share of a busy one."""


class Course(msgspec.Struct, frozen=True):
    """How many versions go live in how many busy segments, how fast, of how many items.

    ``rate`` requests are sent a second, and one that waits longer than ``patience_s`` has failed.
    """

    swaps: int
    rounds: int
    pace: float = PACE
    items: int = ITEMS
    rate: float = RATE
    patience_s: float = _PATIENCE_S


class Storm:
    """The two processes on a stage, and the segments so far."""

    def __init__(
        self, on: ServingStage, folder: Path, store: FsspecWeightStore, course: Course
    ) -> None:
        self.on = on
        self._folder = folder
        self._store = store
        self._course = course
        self.segments: list[Segment] = []
        self._order("pace", course.pace)
        self._order("until", 1)
        self._publisher = self._start_publisher()
        aside = FsspecWeightStore(str(folder / "aside"))
        wait_until(lambda: aside.versions()[-1] > 1, "the publisher", 600.0)
        self._client = self._start_client()

    def busy(self, swaps: int, fault: str = "") -> None:
        """Let that many versions go live, and kill something in the middle."""
        goal = self._version() + swaps
        self._order("until", goal)
        began = time.monotonic()
        if fault:
            wait_until(lambda: self._version() >= goal - swaps // 2, "half of the segment", 600.0)
            self._kill(fault)
        wait_until(lambda: self._version() >= goal, f"version {goal}", 600.0)
        self._note(True, began, fault)

    def calm(self, seconds: float) -> None:
        """Nothing goes live."""
        began = time.monotonic()
        time.sleep(seconds)
        self._note(False, began, "")

    def stop(self) -> list[Answer]:
        """End both, once the newest version has answered, and return every answer."""
        newest = self._version()
        wait_until(lambda: self._answering() >= newest, f"an answer of {newest}", 600.0)
        (self._folder / "stop").touch()
        wait_until(lambda: self._client.poll() is not None, "the last answers")
        self._publisher.stop(5.0)
        raw = (self._folder / "answers").read_bytes()
        return msgspec.json.Decoder(Answer).decode_lines(raw)

    def _kill(self, fault: str) -> None:
        if fault == "replicas":
            self._wake("before")
            for replica in self.on.replicas():
                wait_until(self._both_answer, "both replicas", 600.0)
                replica.send_signal(signal.SIGKILL)
            wait_until(self._both_answer, "both replicas", 600.0)
            self._wake("after")
        else:
            self._publisher.stop(0.0)
            self._publisher = self._start_publisher()

    def _wake(self, word: str) -> None:
        """Have every kept connection ask once."""
        self._order("wake", word)
        time.sleep(_WAKE_S)

    def _both_answer(self) -> bool:
        """Whether new connections reach two replicas; HAProxy passes none on to a dead one."""
        try:
            answers = [httpx.get(f"{self.on.url}/healthz", timeout=60.0) for _ in range(8)]
        except httpx.TransportError:
            return False
        ready = all(answer.is_success for answer in answers)
        return ready and len({answer.json()["replica"] for answer in answers}) == 2

    def _note(self, busy: bool, began: float, fault: str) -> None:
        self.segments.append(Segment(busy, began, time.monotonic(), fault))
        kind = "busy" if busy else "calm"
        print(f"{kind} {self.segments[-1].end - began:5.1f} s, version {self._version()} {fault}")

    def _version(self) -> int:
        pointer = self._store.pointer()
        return pointer.version if pointer else 0

    def _answering(self) -> int:
        """The newest version among the last answers."""
        lines = (self._folder / "answers").read_bytes().splitlines(keepends=True)[-200:]
        whole = b"".join(line for line in lines if line.endswith(b"\n"))
        return max(answer.version for answer in msgspec.json.Decoder(Answer).decode_lines(whole))

    def _order(self, name: str, value: float | str) -> None:
        draft = self._folder / f".{name}"
        draft.write_text(str(value))
        draft.replace(self._folder / name)

    def _start_publisher(self) -> ChildProcess:
        return self._run("benchmarks.swap_storm.publisher", str(self._folder))

    def _start_client(self) -> ChildProcess:
        names = {"--out": "answers", "--stop": "stop", "--wake": "wake"}
        files = [word for flag, name in names.items() for word in (flag, str(self._folder / name))]
        course = self._course
        load = ["--rate", str(course.rate), "--patience", str(course.patience_s)]
        load += ["--users", str(USERS)]
        return self._run("benchmarks.swap_storm.client", self.on.url, *files, *load)

    def _run(self, module: str, *arguments: str) -> ChildProcess:
        with (self._folder / f"{module}.log").open("ab") as log:
            return ChildProcess(
                [sys.executable, "-m", module, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**self.on.environment(), "OMP_NUM_THREADS": "1"},
            )


def storm(
    on: ServingStage, folder: Path, store: FsspecWeightStore, course: Course
) -> tuple[list[Segment], list[Answer]]:
    """The whole course of events."""
    running = Storm(on, folder, store, course)
    each = max(2, course.swaps // course.rounds)
    running.calm(3.0)
    running.busy(2)
    running.segments.clear()  # the first requests and swaps of all warm the replicas
    faults = {course.rounds // 3: "replicas", 2 * course.rounds // 3: "publisher"}
    for number in range(course.rounds):
        running.calm(max(2.0, _CALM * each / course.pace))
        running.busy(each, faults.get(number, ""))
    return running.segments, running.stop()


def measure(home: Path, course: Course) -> Outcome:
    """A stage with two replicas, the storm on it, and the check."""
    folder = home.parent / "storm"
    for path in (home, folder):
        path.mkdir()
    users = random_histories(USERS, HISTORY, course.items)
    serving: dict[str, int] = {"replicas": 2}
    if course.patience_s > _PATIENCE_S:
        serving["timeout_ms"] = round(1000 * course.patience_s)
    with serving_stage(home, users, serving=serving, windows={"seconds": 60.0}) as on:
        first = untrained(course.items, on.settings.model)
        every = on.settings.weights.snapshot_every
        store = first_version(on.settings.weights_url, first, every)
        first_version(str(folder / "aside"), first, every)
        segments, answers = storm(on, folder, store, course)
        print(f"checking {len(answers):,} answers")
        mixed, versions = count_mixed(answers, on.settings, store)
    return Outcome(segments, answers, mixed, versions)

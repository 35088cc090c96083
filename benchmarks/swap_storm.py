"""Swaps under constant load: what fails, what mixes versions, and what they do to the latency.

Real Kafka, stream worker, Ray, HAProxy and two replicas. A publisher process stands for the
trainer and writes a version with one per cent of its rows touched ``PACE`` times a second; an
asking process sends requests at a constant rate and keeps every answer. Segments alternate: in a
busy one every version goes live, in a calm one the publisher writes as many where nobody looks.
One replica and the publisher are killed -9 on the way. Afterwards every answer is checked from
outside: its items and scores are computed again from the version it names.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks._harness import finish, median, parse_options, show
from benchmarks._stage import Stage, made_histories, stage, until
from benchmarks.swap.asker import Asked
from benchmarks.swap.check import count_mixed
from benchmarks.swap.publisher import begin
from infra.leash import LeashedProcess
from infra.weights import FsspecWeightStore

PACE, RATE, ITEMS, USERS, HISTORY = 4.0, 100.0, 10_000, 40, 100
_NEAR_S = 0.1


class Segment(msgspec.Struct, frozen=True):
    """A stretch of time, monotonic seconds. ``fault`` names what was killed in it."""

    busy: bool
    begin: float
    end: float
    fault: str


class Storm:
    """The two processes on a stage, and the segments so far."""

    def __init__(self, on: Stage, folder: Path, store: FsspecWeightStore) -> None:
        self.on = on
        self._folder = folder
        self._store = store
        self.segments: list[Segment] = []
        self._order("pace", PACE)
        self._order("until", 1)
        self._publisher = self._publish()
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

    def _publish(self) -> LeashedProcess:
        return self._run("benchmarks.swap.publisher", str(self._folder))

    def _ask(self) -> LeashedProcess:
        files = ["--out", str(self._folder / "answers"), "--stop", str(self._folder / "stop")]
        load = ["--rate", str(RATE), "--users", str(USERS)]
        return self._run("benchmarks.swap.asker", self.on.url, *files, *load)

    def _run(self, module: str, *words: str) -> LeashedProcess:
        with (self._folder / f"{module}.log").open("ab") as log:
            return LeashedProcess(
                [sys.executable, "-m", module, *words],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**self.on.environment(), "OMP_NUM_THREADS": "1"},
            )


def storm(on: Stage, folder: Path, swaps: int, rounds: int) -> tuple[list[Segment], list[Asked]]:
    """The whole course of events."""
    store = FsspecWeightStore(on.settings.weights_url)
    until(lambda: store.pointer() is not None, "version 1")
    course = Storm(on, folder, store)
    each = max(2, swaps // rounds)
    course.calm(3.0)
    course.segments.clear()  # the first requests of all warm the replicas
    faults = {rounds // 3: "replica", 2 * rounds // 3: "publisher"}
    for number in range(rounds):
        course.calm(each / PACE / 2)
        course.busy(each, faults.get(number, ""))
    return course.segments, course.stop()


def within(answers: Sequence[Asked], segment: Segment) -> list[float]:
    """Latencies in ms of requests due in a segment, but for its edges."""
    first, last = segment.begin + 0.5, segment.end - 0.5
    return [1000 * one.seconds for one in answers if first <= one.due <= last]


def p99_ratio(answers: Sequence[Asked], segments: Sequence[Segment]) -> tuple[float, float, float]:
    """``(median of ratios, busy p99, calm p99)`` over pairs of neighbours without faults."""
    pairs = [
        (calm, busy)
        for calm, busy in zip(segments[::2], segments[1::2], strict=False)
        if not busy.fault
    ]
    found = [
        (
            float(np.percentile(within(answers, busy), 99)),
            float(np.percentile(within(answers, calm), 99)),
        )
        for calm, busy in pairs
    ]
    return (
        median(busy / calm for busy, calm in found),
        median(busy for busy, _ in found),
        median(calm for _, calm in found),
    )


def pauses(answers: Sequence[Asked], segments: Sequence[Segment]) -> tuple[float, float]:
    """p99 of the slowest request near a swap, and near as many moments without one, in ms."""
    ordered = sorted(answers, key=lambda one: one.due)
    seen, swaps = 0, []
    for one in ordered:
        if one.version > seen:
            seen = one.version
            swaps.append(one.due)
    due = np.array([one.due for one in ordered])
    took = np.array([1000 * one.seconds for one in ordered])

    def worst(moment: float) -> float:
        begin, end = np.searchsorted(due, [moment - _NEAR_S, moment + _NEAR_S])
        return float(took[begin:end].max(initial=0.0))

    faults = [(one.begin, one.end) for one in segments if one.fault]
    calm = [one for one in segments if not one.busy]
    quiet = [at for one in calm for at in np.arange(one.begin + 0.5, one.end - 0.5, 1 / PACE)]
    near = [at for at in swaps if not any(a <= at <= b for a, b in faults)]
    return (
        float(np.percentile([worst(at) for at in near], 99)),
        float(np.percentile([worst(at) for at in quiet], 99)),
    )


def main() -> None:
    """Run, check, report."""
    options = parse_options(__doc__ or "")
    began = time.monotonic()
    swaps, rounds = (60, 4) if options.quick else (1_000, 20)
    users = made_histories(USERS, HISTORY, ITEMS)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as up:
        home, folder = Path(name) / "home", Path(name) / "storm"
        home.mkdir()
        folder.mkdir()
        on = up.enter_context(
            stage(home, users, serving={"replicas": 2}, windows={"seconds": 60.0})
        )
        store = begin(on.settings.weights_url, on.settings, ITEMS)
        begin(str(folder / "aside"), on.settings, ITEMS)
        segments, answers = storm(on, folder, swaps, rounds)
        print(f"checking {len(answers):,} answers")
        mixed, versions = count_mixed(answers, on.settings, store)
    ratio, busy, calm = p99_ratio(answers, segments)
    near, quiet = pauses(answers, segments)
    failures = [one.failure for one in answers if one.failure]
    rows = [
        ("versions that went live", max(one.version for one in answers) - 1),
        ("of them seen in answers", versions - 1),
        ("requests", len(answers)),
        ("failed", len(failures)),
        ("answers that are not their version's", mixed),
        ("p99 in busy segments, ms", busy),
        ("p99 in calm segments, ms", calm),
        ("ratio, median over pairs", ratio),
        ("slowest request near a swap, p99, ms", near),
        ("the same without a swap, ms", quiet),
    ]
    show("Swaps under load", ("", "found"), rows)
    for failure in failures[:5]:
        print("failed:", failure)
    finish(
        {
            "swaps": max(one.version for one in answers) - 1,
            "requests": len(answers),
            "failed": len(failures),
            "mixed": mixed,
            "p99_ratio": round(ratio, 3),
            "pause_p99_ms": round(max(0.0, near - quiet), 2),
            "p99_busy_ms": round(busy, 2),
            "p99_calm_ms": round(calm, 2),
        },
        began,
        options.json,
    )


if __name__ == "__main__":
    main()

"""Prints the steps of a start and a stop as they happen."""

from __future__ import annotations

import contextlib

from rich.status import Status
from rich.text import Text

from everfresh.infra.cli.terminal import Terminal, styled
from everfresh.infra.processes.children import StepUpdate

TITLES = {
    "kafka": "Apache Kafka",
    "topics": "Kafka topics",
    "ray": "Ray",
    "serving": "worker, trainer and serving",
    "state": "users' state",
    "replicas": "replicas",
    "leftovers": "processes of an earlier run",
    "ratings": "MovieLens 100K",
    "clicks": "made-up clicks",
}

_LONGEST = 100
"""Characters of a log line that fit beside the spinner."""
_SAY_EVERY_S = 10.0


class StepPrinter:
    """Prints a line per finished step, and a spinner with the newest log line for the current one;
    where there is no terminal, now and then a line in its place.

    Call it with every :class:`StepUpdate`; ``end`` takes the spinner away.
    """

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._spinner: Status | None = None
        self._step = ""
        self._say_at = _SAY_EVERY_S
        self._stopping = False

    def __call__(self, note: StepUpdate) -> None:
        """Show one note."""
        title = TITLES.get(note.step, note.step)
        if note.what == "begins":
            self._step, self._say_at = title, _SAY_EVERY_S
            self._spin(styled(title))
        elif note.what == "waits":
            self._wait(note)
        elif note.what == "done":
            self.end()
            took = f"{note.seconds:5.1f} s" if note.seconds else ""
            self._console.print(styled(("✓ ", "green"), title, f"  {took}  ", note.text))
        elif note.what == "stopping":
            self._stop(note)
        else:
            colour = "red" if note.what == "died" else "yellow"
            self._console.print(styled((note.text, colour)), soft_wrap=True)

    def _wait(self, note: StepUpdate) -> None:
        last = note.text[:_LONGEST]
        so_far = f"{note.seconds:.0f} s  " if note.seconds else ""
        self._spin(styled(f"{self._step}  ", (so_far + last, "dim")))
        if not self._console.is_terminal and note.seconds >= self._say_at:
            self._say_at = note.seconds + _SAY_EVERY_S
            said = f": {last}" if last else ""
            self._console.print(
                f"waiting for {self._step}, {note.seconds:.0f} s so far{said}", soft_wrap=True
            )

    def end(self) -> None:
        """Take the spinner away; harmless where the terminal has gone."""
        spinner, self._spinner = self._spinner, None
        if spinner is not None:
            with contextlib.suppress(OSError):
                spinner.stop()

    def _stop(self, note: StepUpdate) -> None:
        # Where the terminal has gone, stopping goes on all the same.
        with contextlib.suppress(OSError):
            if not self._stopping:
                self._stopping = True
                self._console.print("stopping …")
            self._spin(styled(f"stopping {note.step}"))

    def _spin(self, text: Text) -> None:
        if not self._console.is_terminal:
            return
        if self._spinner is None:
            self._spinner = self._console.spinner(text)
            self._spinner.start()
        else:
            self._spinner.update(text)
